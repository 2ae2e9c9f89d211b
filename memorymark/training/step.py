"""THE training step: the only place where one is written.

Measured and simulated trials run the same code; what differs between devices is in the
runtime that it is given. How long loss, outputs and batches live is the loop's: see
records.config.Loop and TrainingConfig.keeps_outputs.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memorymark.errors import WorkloadError
from memorymark.memory.trace import BACKWARD, FORWARD, FORWARD_END, OPTIMIZER, STEP, STEP_END
from memorymark.placement.ownership import is_live
from memorymark.records.config import Loop, ZeroGrad
from memorymark.records.trial import Stage
from memorymark.training.optimizers import build_optimizer, release_gradients
from memorymark.training.own_step import noticed_phases, optimizers_in
from memorymark.training.runtime import Runtime
from memorymark.workloads.build import make_batch, match_batch, note_idle_adapters
from memorymark.workloads.losses import loss_of
from memorymark.workloads.own_code import ends_as_errors
from memorymark.workloads.own_training import describe
from memorymark.workloads.trial_spec import TrialSpec


class TrainingStep:
    """One model, its optimizer and its batches: each call is one training step.

    Args:
        spec: What is trained, how, at which batch size and how far.
        model: The model, on the runtime's device.
        runtime: The place where it runs.
        on_phase: Called with the name of each phase as it begins.

    Attributes:
        model: The model.
        optimizer: The optimizer, or what the user's own code has made of several; None where
            there is none.
        optimizers: All that have been found to update anything.
        batch: The newest batch.
        batches: Those of the step that are on the device, the newest among them.
        loss: The loss of the newest batch, as long as the config's loop keeps it.
        outputs: What the model returned for it; None where the loop keeps only the loss.

    Raises:
        InvalidValue: The optimizer does not exist in the form asked for.
        MissingPackage: It needs a package that is not installed.
    """

    def __init__(
        self,
        spec: TrialSpec,
        model: nn.Module,
        runtime: Runtime,
        *,
        on_phase: Callable[[str], None] = lambda phase: None,
    ) -> None:
        self.model = model
        self.optimizer: Any = None
        self._own_step: Callable[..., Any] | None = None
        if spec.stage is Stage.STEP:
            self.optimizer = spec.workload.own_optimizer(model)
            if self.optimizer is None:
                self.optimizer = build_optimizer(spec.config, model.parameters(), runtime)
            self._own_step = spec.workload.own_step(model)
        self.optimizers: list[torch.optim.Optimizer] = list(optimizers_in(self.optimizer))
        for each in self.optimizers:
            _refuse_live(spec, each)
        if self.optimizer is not None and self._own_step is None and not self.optimizers:
            raise WorkloadError(
                f"optimizer of {spec.workload.name!r} returned {describe(self.optimizer)}; "
                "accepted: a torch.optim.Optimizer, or several in a tuple, list or dictionary."
            )
        self._spec = spec
        self._config = spec.config
        self._runtime = runtime
        self._on_phase = on_phase
        self._scaler = runtime.grad_scaler(spec.config.precision)
        self._forward = torch.compile(model) if spec.config.compile else model
        self.batch: object = None
        self.batches: list[object] = []
        self.loss: Tensor | None = None
        self.outputs: object = None
        self._knows_adapters = False

    def __call__(self) -> None:
        """Run one step, accumulation included."""
        with ends_as_errors():
            self._run()

    @property
    def scaler(self) -> torch.amp.GradScaler:
        """The gradient scaler; it does nothing where the precision needs none."""
        return self._scaler

    def split(self, batch_size: int, accumulation: int) -> None:
        """Go on with micro-batches of another size."""
        config = dataclasses.replace(self._config, gradient_accumulation=accumulation)
        self._spec = dataclasses.replace(self._spec, config=config, batch_size=batch_size)
        self._config = config

    def drop(self) -> None:
        """Let go of what a step that was broken off has left: batches, loss, gradients."""
        self.batch, self.batches, self.loss, self.outputs = None, [], None, None
        self.model.zero_grad(set_to_none=True)
        for optimizer in self.optimizers:
            release_gradients(optimizer)

    def _run(self) -> None:
        self._on_phase(STEP)
        if self._own_step is not None:
            self._run_own_step(self._own_step)
            return
        self._zero_grad(ZeroGrad.BEFORE_FORWARD)
        for index in range(self._config.gradient_accumulation):
            self._on_phase(FORWARD)
            self._take_batch(index)
            with self._grad_mode(), self._runtime.autocast(self._config.precision):
                loss = self._loss()
            if index == 0:
                self._zero_grad(ZeroGrad.BEFORE_BACKWARD)
            self._backward(loss)
            del loss
        self._update()

    def _run_own_step(self, step: Callable[..., Any]) -> None:
        """Run the user's own code in the place of forward pass, backward pass and update."""
        with noticed_phases(self._on_phase, self._notice):
            self._take_batch(0)
            self.outputs = step(self._forward, self.batch, self.optimizer)
        self._on_phase(STEP_END)

    def _notice(self, optimizer: torch.optim.Optimizer) -> None:
        _refuse_live(self._spec, optimizer)
        if not any(optimizer is known for known in self.optimizers):
            self.optimizers.append(optimizer)

    def _take_batch(self, index: int) -> None:
        # The former batches are alive until the new ones exist, as in every training loop.
        if self._config.loop.loads_ahead:
            if index == 0:
                count = self._config.gradient_accumulation
                self.batches = [self._new_batch() for _ in range(count)]
            self.batch = self.batches[index]
        else:
            self.batch = self._new_batch()
            self.batches = [self.batch]

    def _new_batch(self) -> object:
        return match_batch(make_batch(self._spec, self._runtime.device), self._config)

    def _loss(self) -> Tensor:
        loss, outputs = loss_of(self._spec.workload, self._forward, self.batch)
        count = self._config.gradient_accumulation
        loss = loss / count if count > 1 else loss
        if self._config.loop is Loop.PLAIN:
            self.loss = loss
        if self._config.keeps_outputs:
            self.outputs = outputs
        return loss

    def _backward(self, loss: Tensor) -> None:
        if self._spec.stage in (Stage.FORWARD_ONLY, Stage.FORWARD):
            self._on_phase(FORWARD_END)
            # No backward pass will free the graph that loss and outputs hold on to.
            self.loss, self.outputs = None, None
            return
        self._on_phase(BACKWARD)
        self._scaler.scale(loss).backward()
        if self._config.loop is Loop.TRAINER:
            self.loss = loss.detach()

    def _update(self) -> None:
        self._look_at_adapters()
        self._on_phase(OPTIMIZER)
        if self.optimizers:
            self._clip_gradients()
            for optimizer in self.optimizers:
                self._scaler.step(optimizer)
            self._scaler.update()
        else:
            # Nothing is trained, so no next step follows that could find them.
            self.loss, self.outputs = None, None
        self._zero_grad(ZeroGrad.AFTER_STEP)
        self._on_phase(STEP_END)

    def _look_at_adapters(self) -> None:
        """After the first backward pass: some adapters may be read by nothing."""
        rank, stage = self._config.lora_rank, self._spec.stage
        if rank is None or self._knows_adapters or stage in (Stage.FORWARD_ONLY, Stage.FORWARD):
            return
        self._knows_adapters = True
        note_idle_adapters(self._spec.workload, self.model, rank)

    def _clip_gradients(self) -> None:
        """Scale the gradients down to the largest norm, as transformers' Trainer does."""
        if not self._config.grad_clip:
            return  # the Trainer's max_grad_norm=0 turns it off too
        for optimizer in self.optimizers:
            self._scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), self._config.grad_clip)

    def _zero_grad(self, position: ZeroGrad) -> None:
        if self._config.releases_gradients is position:
            self.model.zero_grad(set_to_none=True)
            for optimizer in self.optimizers:
                release_gradients(optimizer)

    def _grad_mode(self) -> contextlib.AbstractContextManager[object]:
        if self._spec.stage is Stage.FORWARD_ONLY:
            return torch.no_grad()
        return contextlib.nullcontext()


def _refuse_live(spec: TrialSpec, optimizer: torch.optim.Optimizer) -> None:
    if is_live(optimizer):
        raise WorkloadError(
            f"The optimizer ({type(optimizer).__name__}) of {spec.workload.name!r} was there "
            "before the call: its states are another training's. Make a new one in the optimizer "
            "function, as in lambda model: AdamW(model.parameters())."
        )
