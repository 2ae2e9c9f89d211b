"""Runs the user's code that makes a model so that its parameters take no memory.

Three ways, the next where one fails: parameters without data, all else on the host with its
values; everything without data; everything on the host. The first keeps what code computes
with: tables of positions, masks, data to take batches from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from memorymark.bounds import Meter
from memorymark.errors import BatchTooLong, MissingPackage, UsageError, WorkloadError
from memorymark.placement.metered_build import built_on_host
from memorymark.placement.moving import Twins
from memorymark.placement.ownership import new_parameters
from memorymark.placement.pretended_cuda import pretending

Made = TypeVar("Made")

# What code may raise for want of values, and what it raises where they are wrong.
_LACKING = (RuntimeError, TypeError, ValueError, AssertionError, IndexError, ArithmeticError)
_META = torch.device("meta")
_active: ContextVar[bool] = ContextVar("building without data", default=False)


def is_building_without_data() -> bool:
    """Return whether the code that runs now was called by `make_without_data`."""
    return _active.get()


def make_without_data(make: Callable[[], Made], meter: Meter, twins: Twins | None = None) -> Made:
    """Return what the user's code makes, with as little memory as it allows.

    Args:
        make: Makes it, from the start at each call.
        meter: Says how much memory of the host it may take, where it must.
        twins: The counterparts of storages on the host, shared with what is moved later.

    Raises:
        WorkloadError: The code fails in every way.
        BoundReached: It runs only on the host, and takes more of its memory.
    """
    with pretending(), _noted():
        for way in (lambda: parameters_without_data(twins or Twins(_META)), lambda: _META):
            try:
                with way():
                    return make()
            except (BatchTooLong, MissingPackage, UsageError):
                raise
            except Exception as error:
                cause = error.__cause__ if isinstance(error, WorkloadError) else error
                if not isinstance(cause, _LACKING) or isinstance(cause, RecursionError):
                    raise
        with built_on_host(meter):
            return make()


def make_without_parameters(make: Callable[[], Made], twins: Twins, meter: Meter) -> Made:
    """Return what code makes on the host, its parameters without data, all else with values.

    Args:
        make: Makes it.
        twins: The counterparts of storages on the host, shared with what is moved later.
        meter: Says how much memory of the host all else may take.

    Raises:
        BoundReached: It takes more.
    """
    with _noted(), parameters_without_data(twins), built_on_host(meter):
        return make()


@contextmanager
def _noted() -> Iterator[None]:
    outer = _active.set(True)
    try:
        yield
    finally:
        _active.reset(outer)


@contextmanager
def parameters_without_data(twins: Twins) -> Iterator[None]:
    """Let each new parameter of the host be one without data; storages stay shared."""

    def without_data(data: Any) -> Any:
        here = _active.get() and type(data) in (Tensor, nn.Parameter)
        return twins.of(data) if here and data.device.type == "cpu" else data

    with new_parameters(without_data):
        yield
