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
    phases = _Phases(on_phase)

    def updating(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if phases.is_here():
            on_optimizer(optimizer)
        phases.enter(OPTIMIZER)

    before = register_optimizer_step_pre_hook(updating)
    after = register_optimizer_step_post_hook(lambda optimizer, args, kwargs: phases.leave())
    backward, grad = (
        phases.around(each) for each in (torch.autograd.backward, torch.autograd.grad)
    )
    try:
        with (
            mock.patch.object(torch.autograd, "backward", backward),
            mock.patch.object(torch.autograd, "grad", grad),
        ):
            on_phase(FORWARD)
            yield
    finally:
        before.remove()
        after.remove()


class _Phases:
    """The phases that a step is in, one within the other, on one thread."""

    def __init__(self, on_phase: Callable[[str], None]) -> None:
        self._on_phase = on_phase
        self._phases = [FORWARD]
        self._thread = threading.get_ident()

    def is_here(self) -> bool:
        return threading.get_ident() == self._thread

    def enter(self, phase: str) -> None:
        if self.is_here():
            self._phases.append(phase)
            self._on_phase(phase)

    def leave(self) -> None:
        if self.is_here():
            self._phases.pop()
            self._on_phase(self._phases[-1])

    def around(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def going_backward(*args: Any, **kwargs: Any) -> Any:
            self.enter(BACKWARD)
            try:
                return run(*args, **kwargs)
            finally:
                self.leave()

        return going_backward


def optimizers_in(value: Any) -> tuple[Optimizer, ...]:
    """Return the optimizers in what an optimizer factory returned: one, or a container of some."""
    if isinstance(value, Optimizer):
        return (value,)
    members = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | list | tuple):
        return ()
    return tuple(found for member in members for found in optimizers_in(member))
