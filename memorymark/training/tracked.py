"""Runs training steps under a tracker, with everything labelled by what it is for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memorymark.memory.gradients import check_gradients
from memorymark.memory.storage import parts_of, storage_key
from memorymark.memory.torch_parts import tree_leaves, without_modes
from memorymark.memory.trace import BACKWARD, FORWARD_END, OPTIMIZER, STEP_END
from memorymark.memory.tracker import MemoryTracker
from memorymark.placement.collector import collector_off
from memorymark.records.trial import GradientCheck, Stage
from memorymark.training.optimizers import state_tensors
from memorymark.training.runtime import Runtime
from memorymark.training.step import TrainingStep
from memorymark.workloads.build import tensors_beside
from memorymark.workloads.trial_spec import TrialSpec


@dataclass(frozen=True)
class TrackedSteps:
    """What a few steps under a tracker gave.

    Attributes:
        seconds: Wall-clock seconds of each step.
        gradient_check: What the backward pass left, where the stage is `backward`.
    """

    seconds: tuple[float, ...]
    gradient_check: GradientCheck | None


def run_tracked_steps(
    spec: TrialSpec,
    model: nn.Module,
    runtime: Runtime,
    tracker: MemoryTracker,
    *,
    steps: int,
    synchronize: Callable[[], None] = lambda: None,
    is_steady: Callable[[], bool] = lambda: False,
) -> TrackedSteps:
    """Run training steps with every storage followed.

    Runs as many as `steps` says, fewer where `is_steady`, asked after each, says so.

    Python's garbage collector is held back meanwhile: when it runs would decide when some
    tensors die, and two runs would differ.

    Raises:
        OutOfMemory: The tracker's budget is exceeded.
    """
    labels = _Labels(tracker, spec, model)
    with collector_off(), _watched(tracker, model), tracker, runtime.settings(spec.config):
        tracker.add(model.named_parameters(), "parameters")
        tracker.add(model.named_buffers(), "temporaries")
        for name, tensor, category in tensors_beside(spec.workload, model):
            tracker.add([(name, tensor)], category)
        step = TrainingStep(spec, model, runtime, on_phase=labels.begin)
        labels.step = step
        seconds = []
        try:
            for _ in range(steps):
                seconds.append(seconds_of(step, synchronize))
                if is_steady():
                    break
        finally:
            labels.step = None  # the two hold one another, and with them all that was followed
    return TrackedSteps(tuple(seconds), labels.gradient_check)


class _Labels:
    """Says what live tensors are for, at each change of phase."""

    def __init__(self, tracker: MemoryTracker, spec: TrialSpec, model: nn.Module) -> None:
        self.step: TrainingStep | None = None
        self.gradient_check: GradientCheck | None = None
        self._tracker = tracker
        self._stage = spec.stage
        self._names = {
            tensor: name
            for name, tensor, _ in tensors_beside(spec.workload, model)
            if tensor.requires_grad
        }
        self._names.update((parameter, name) for name, parameter in model.named_parameters())

    def begin(self, phase: str) -> None:
        assert self.step is not None
        if phase in (BACKWARD, FORWARD_END):
            self._label_inputs(self.step.batches)
        if phase == FORWARD_END and self._stage is Stage.FORWARD_ONLY:
            return  # nothing that lives until here is kept for a backward pass
        if phase == OPTIMIZER:
            self._label_gradients(self.step.model)
        if phase == STEP_END:
            for optimizer in self.step.optimizers:
                self._label_states(optimizer)
        self._tracker.begin_phase(phase)

    def _label_inputs(self, batches: object) -> None:
        for tensor in tree_leaves(batches):
            if isinstance(tensor, Tensor):
                self._tracker.label(tensor, "inputs")

    def _label_states(self, optimizer: torch.optim.Optimizer) -> None:
        for parameter, state in state_tensors(optimizer):
            self._tracker.label(state, "optimizer_states", self._names.get(parameter))

    def _label_gradients(self, model: nn.Module) -> None:
        for parameter, name in self._names.items():
            if parameter.grad is not None:
                self._tracker.label(parameter.grad, "gradients", name)
        if self._stage is Stage.BACKWARD:
            with without_modes():
                self.gradient_check = check_gradients(model)


@contextmanager
def _watched(tracker: MemoryTracker, model: nn.Module) -> Iterator[None]:
    tracker.watch(model)
    try:
        yield
    finally:
        tracker.unwatch()
        tracker.stop()


def seconds_of(work: Callable[[], None], synchronize: Callable[[], None] = lambda: None) -> float:
    """Return the seconds that work takes until the device is done with it."""
    synchronize()
    start = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - start


def live_bytes_of(model: nn.Module, *beside: Tensor) -> int:
    """Return the bytes of a model's parameters and buffers, and of tensors beside it.

    Storages that several share are counted once.
    """
    storages: dict[int | None, torch.UntypedStorage] = {}
    for tensor in (*model.parameters(), *model.buffers(), *beside):
        for part in parts_of(tensor):
            storages[storage_key(part)] = part.untyped_storage()
    return sum(storage.nbytes() for storage in storages.values())
