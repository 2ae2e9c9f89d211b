"""Notices the phases of a step that the user has written: where it goes backward and updates."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from memorymark.memory.trace import BACKWARD, FORWARD, OPTIMIZER
from memorymark.placement.patches import SharedByThreads


@contextmanager
def noticed_phases(
    on_phase: Callable[[str], None], on_optimizer: Callable[[Optimizer], None]
) -> Iterator[None]:
    """Tell of each backward pass and each update as it begins, and of what goes on after it.

    Those of other threads are not told of.

    Args:
        on_phase: Called with the name of each phase as it begins.
        on_optimizer: Called with each optimizer that updates.
    """
    outer = getattr(_local, "phases", None)
    _local.phases = _Phases(on_phase, on_optimizer)
    try:
        with _noticing.held():
            on_phase(FORWARD)
            yield
    finally:
        _local.phases = outer


class _Phases:
    """The phases that a step is in, one within the other."""

    def __init__(
        self, on_phase: Callable[[str], None], on_optimizer: Callable[[Optimizer], None]
    ) -> None:
        self.on_optimizer = on_optimizer
        self._on_phase = on_phase
        self._phases = [FORWARD]

    def enter(self, phase: str) -> None:
        self._phases.append(phase)
        self._on_phase(phase)

    def leave(self) -> None:
        self._phases.pop()
        self._on_phase(self._phases[-1])


_local = threading.local()


def _here() -> _Phases | None:
    """Return the phases of this thread's step; None on a thread that runs none."""
    return getattr(_local, "phases", None)


@contextmanager
def _told() -> Iterator[None]:
    """Have torch tell the thread's phases, if it has any, of backward passes and updates."""
    before = register_optimizer_step_pre_hook(_updating)
    after = register_optimizer_step_post_hook(_updated)
    backward, grad = (_around(each) for each in (torch.autograd.backward, torch.autograd.grad))
    try:
        with (
            mock.patch.object(torch.autograd, "backward", backward),
            mock.patch.object(torch.autograd, "grad", grad),
        ):
            yield
    finally:
        before.remove()
        after.remove()


_noticing = SharedByThreads(_told)


def _updating(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    phases = _here()
    if phases is not None:
        phases.on_optimizer(optimizer)
        phases.enter(OPTIMIZER)


def _updated(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    phases = _here()
    if phases is not None:
        phases.leave()


def _around(run: Callable[..., Any]) -> Callable[..., Any]:
    def going_backward(*args: Any, **kwargs: Any) -> Any:
        phases = _here()
        if phases is None:
            return run(*args, **kwargs)
        phases.enter(BACKWARD)
        try:
            return run(*args, **kwargs)
        finally:
            phases.leave()

    return going_backward


def optimizers_in(value: Any) -> tuple[Optimizer, ...]:
    """Return the optimizers in what an optimizer factory returned: one, or a container of some."""
    if isinstance(value, Optimizer):
        return (value,)
    members = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | list | tuple):
        return ()
    return tuple(found for member in members for found in optimizers_in(member))
