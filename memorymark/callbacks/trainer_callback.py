"""A callback for the Trainer of transformers."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from transformers import Trainer, TrainerCallback

from memorymark.callbacks.first_batch import first_batch
from memorymark.callbacks.gatekeeper import Gatekeeper
from memorymark.placement.process_switches import same_random_state
from memorymark.records.config import Loop, Precision, TrainingConfig
from memorymark.workloads.live.live_workload import LiveTraining

_RECOMPUTING = ("activation_checkpointing", "gradient_checkpointing")  # by version
_ADVICE = (
    "Set per_device_train_batch_size to it or less, and gradient_accumulation_steps so that the "
    "effective batch stays, or give the callback find=True before the Trainer is made."
)


class MemoryMarkCallback(TrainerCallback):
    """Checks before the first step that the batch of a Trainer fits, and says by how much.

    The Trainer's own model, optimizer, loss and first batch are used, as it begins; nothing of
    them changes, and no random number is drawn. A training that would not fit is stopped with a
    sentence that names the largest batch that does.

    The first batch need not be the longest: where the data set has a column `length`, what it
    holds is said, and `longest` checks with it.

    Args:
        find: Set per_device_train_batch_size when the Trainer is made: the largest batch that fits
            and divides the effective batch, which gradient accumulation keeps.
        options: gpu, device, memory_budget, on_misfit ("stop" or "warn"), batch, longest (True, or
            positions) and say, as Gatekeeper has them.

    Attributes:
        fit: What was found last; None before.

    Example:
        >>> callback = MemoryMarkCallback(gpu="l4", on_misfit="warn")
        >>> callback.fit is None
        True
    """

    def __init__(self, *, find: bool = False, **options: Any) -> None:
        self._gate = Gatekeeper(find=find, **options)

    @property
    def fit(self) -> Any:
        """What was found last; None before."""
        return self._gate.fit

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Find the batch, where it is to be found: the loader is made later."""
        trainer = _trainer(self)
        if self._gate.find and trainer is not None and trainer.train_dataset is not None:
            self._find(trainer, args)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check the first batch.

        Raises:
            DoesNotFit: It does not fit.
        """
        trainer, loader = _trainer(self), kwargs.get("train_dataloader")
        model, optimizer = kwargs["model"], kwargs.get("optimizer")

        def live() -> LiveTraining:
            batch = self._gate.batch
            if batch is None:
                batch = first_batch(loader, longest=self._gate.longest is True)
            return self._training(trainer, model, optimizer, batch)

        fit = self._gate.check(live, config_of(args))
        if fit is not None and (state.is_world_process_zero or not fit):
            self._gate.judge(fit, _ADVICE)
            self._gate.say_longest(loader, type(self).__name__)

    def _find(self, trainer: Any, args: Any) -> None:
        def live() -> LiveTraining:
            batch = self._gate.batch
            if batch is None:
                with same_random_state():
                    loader = trainer.get_train_dataloader()
                batch = first_batch(loader, longest=self._gate.longest is True)
            return self._training(trainer, trainer.model, _optimizer_of(trainer, args), batch)

        wanted = args.per_device_train_batch_size, args.gradient_accumulation_steps
        names = "per_device_train_batch_size", "gradient_accumulation_steps"
        # The Trainer lets the model recompute its activations later than this.
        recomputes = any(getattr(args, name, False) for name in _RECOMPUTING)
        config = dataclasses.replace(config_of(args), gradient_checkpointing=recomputes)
        split = self._gate.split(live, config, wanted, names)
        if split is not None:
            args.per_device_train_batch_size = split.batch_size
            args.gradient_accumulation_steps = split.accumulation
            trainer._train_batch_size = args.train_batch_size

    def _training(self, trainer: Any, model: Any, optimizer: Any, batch: Any) -> LiveTraining:
        forward = None
        if trainer is not None:
            compute = trainer.compute_loss

            def forward(model: Any, batch: Any) -> Any:
                return compute(model, dict(batch))

        return LiveTraining(
            model, batch, optimizer, forward=forward, length=self._gate.length, training=True
        )


def config_of(args: Any) -> TrainingConfig:
    """Return how a Trainer runs its steps, as far as model and loss do not say it."""
    precision = Precision.FP32
    if args.bf16 or args.fp16:
        precision = Precision.AMP_BF16 if args.bf16 else Precision.AMP_FP16
    return TrainingConfig(
        precision=precision,
        gradient_accumulation=args.gradient_accumulation_steps,
        loop=Loop.TRAINER,
        grad_clip=args.max_grad_norm or None,
    )


def _optimizer_of(trainer: Any, args: Any) -> Any:
    """Return an optimizer as the Trainer will make it, before it has."""
    if trainer.optimizer is not None:
        return trainer.optimizer
    kind, options = type(trainer).get_optimizer_cls_and_kwargs(args, trainer.model)
    return kind([p for p in trainer.model.parameters() if p.requires_grad], **options)


def _trainer(callback: TrainerCallback) -> Any:
    """Return the Trainer that calls a callback: it hands over its parts, not itself."""
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, Trainer) and callback in caller.callback_handler.callbacks:
            return caller
        frame = frame.f_back
    return None
