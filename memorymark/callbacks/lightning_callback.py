"""A callback for the Trainer of Lightning, under either of the names that its package has."""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from memorymark.callbacks.first_batch import first_batch
from memorymark.callbacks.gatekeeper import Gatekeeper
from memorymark.errors import MissingPackage, WorkloadError
from memorymark.placement.process_switches import same_random_state
from memorymark.records.config import Loop, Precision, TrainingConfig, ZeroGrad
from memorymark.workloads.live.live_workload import LiveTraining

_NAMES = ("lightning.pytorch", "pytorch_lightning")
_ADVICE = (
    "Set the data loader's batch_size to it or less, and Trainer(accumulate_grad_batches=…) so "
    "that the effective batch stays."
)
_META = torch.device("meta")


def _lightning() -> Any:
    """Return Lightning under the name by which it is loaded, else by which it is installed."""
    for name in sorted(_NAMES, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise MissingPackage("lightning", "LightningMemoryMarkCallback")


class LightningMemoryMarkCallback(_lightning().Callback):
    """Checks before the first step that the batch of a Lightning training fits.

    The module's own training_step, its optimizers and the loader's first batch are used, as the
    training begins; nothing of them changes, and no random number is drawn. A training that would
    not fit is stopped with a sentence that names the largest batch that does.

    Args:
        find: Set `batch_size` of the data module, or of the module where it makes its loaders:
            the largest batch that fits and divides the effective batch, which
            accumulate_grad_batches keeps. A loader that is handed to fit() has its size already.
        options: gpu, device, memory_budget, on_misfit ("stop" or "warn"), batch, longest (True, or
            positions) and say, as Gatekeeper has them.

    Attributes:
        fit: What was found last; None before.
    """

    def __init__(self, *, find: bool = False, **options: Any) -> None:
        super().__init__()
        self._gate = Gatekeeper(find=find, **options)

    @property
    def fit(self) -> Any:
        """What was found last; None before."""
        return self._gate.fit

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Find the batch, where it is to be found: the loaders are made later."""
        if self._gate.find:
            self._find(trainer, pl_module)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Check the first batch.

        Raises:
            DoesNotFit: It does not fit.
        """

        def live() -> LiveTraining:
            return self._training(trainer, pl_module, self._batch(trainer.train_dataloader))

        fit = self._gate.check(live, config_of(trainer))
        if fit is not None and (trainer.is_global_zero or not fit):
            self._gate.judge(fit, _ADVICE)
            self._gate.say_longest(trainer.train_dataloader, type(self).__name__)

    def _find(self, trainer: Any, module: Any) -> None:
        owner = next((x for x in (trainer.datamodule, module) if hasattr(x, "batch_size")), None)
        if owner is None or not hasattr(owner, "train_dataloader"):
            self._gate.say(
                "The batch cannot be set in time: no data module and no module has `batch_size`. "
                "Put it into a LightningDataModule whose train_dataloader() reads self.batch_size."
            )
            return

        def live() -> LiveTraining:
            with same_random_state():
                loader = owner.train_dataloader()
            return self._training(trainer, module, self._batch(loader))

        wanted = int(owner.batch_size), trainer.accumulate_grad_batches
        names = "batch_size", "accumulate_grad_batches"
        split = self._gate.split(live, config_of(trainer), wanted, names)
        if split is not None:
            owner.batch_size = split.batch_size
            trainer.accumulate_grad_batches = split.accumulation

    def _batch(self, loader: Any) -> Any:
        if self._gate.batch is not None:
            return self._gate.batch
        if not isinstance(loader, DataLoader):
            raise WorkloadError(
                f"The training takes its batches from a {type(loader).__name__}, not from one "
                "DataLoader. Give a batch like those of the training: batch=…"
            )
        return first_batch(loader, longest=self._gate.longest is True)

    def _training(self, trainer: Any, module: Any, batch: Any) -> LiveTraining:
        if not module.automatic_optimization:
            raise WorkloadError(
                "The module optimizes by itself (automatic_optimization is off), with a Trainer "
                "that a simulation does not have. Check it with memorymark.fits(…, step=…)."
            )
        optimizers = [getattr(each, "optimizer", each) for each in trainer.optimizers]
        step, count = module.training_step, _arguments_of(module.training_step)

        def forward(model: Any, batch: Any) -> Any:
            returned = step(*(batch, 0, 0)[:count])
            return returned["loss"] if isinstance(returned, dict) else returned

        return LiveTraining(
            module, batch, optimizers or None, forward=forward, training=True,
            length=self._gate.length, prepare=_set_apart,
        )  # fmt: skip


def config_of(trainer: Any) -> TrainingConfig:
    """Return how Lightning runs its steps, as far as the module does not say it.

    It releases gradients between the forward and the backward pass: see records.config.Loop.
    """
    clip = trainer.gradient_clip_val
    mixed = {"bf16-mixed": Precision.AMP_BF16, "16-mixed": Precision.AMP_FP16}
    return TrainingConfig(
        precision=mixed.get(str(trainer.precision), Precision.FP32),
        gradient_accumulation=trainer.accumulate_grad_batches,
        loop=Loop.TRAINER,
        zero_grad=ZeroGrad.BEFORE_BACKWARD,
        grad_clip=clip or None if trainer.gradient_clip_algorithm != "value" else None,
    )


def _arguments_of(step: Any) -> int:
    return len(inspect.signature(step).parameters)


def _set_apart(model: nn.Module) -> None:
    """Let a copy of a module log nothing, and find itself where its tensors are."""
    for part in model.modules():
        if hasattr(part, "_device"):
            part._device = _META
        for name in ("log", "log_dict"):
            if callable(getattr(part, name, None)):
                setattr(part, name, _nothing)


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None
