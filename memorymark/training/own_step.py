"""Notices the phases of a step that the user has written: where it goes backward and updates."""

from __future__ import annotations

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

    Args:
        on_phase: Called with the name of each phase as it begins.
        on_optimizer: Called with each optimizer that updates.
    """
    phases = [FORWARD]

    def enter(phase: str) -> None:
        phases.append(phase)
        on_phase(phase)

    def leave() -> None:
        phases.pop()
        on_phase(phases[-1])

    def going_backward(run: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            enter(BACKWARD)
            try:
                return run(*args, **kwargs)
            finally:
                leave()

        return call

    def updating(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        on_optimizer(optimizer)
        enter(OPTIMIZER)

    before = register_optimizer_step_pre_hook(updating)
    after = register_optimizer_step_post_hook(lambda optimizer, args, kwargs: leave())
    autograd = torch.autograd
    try:
        with (
            mock.patch.object(autograd, "backward", going_backward(autograd.backward)),
            mock.patch.object(autograd, "grad", going_backward(autograd.grad)),
        ):
            on_phase(FORWARD)
            yield
    finally:
        before.remove()
        after.remove()


def optimizers_in(value: Any) -> tuple[Optimizer, ...]:
    """Return the optimizers in what an optimizer factory returned: one, or a container of some."""
    if isinstance(value, Optimizer):
        return (value,)
    members = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | list | tuple):
        return ()
    return tuple(found for member in members for found in optimizers_in(member))
