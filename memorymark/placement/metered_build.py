"""Meters the building of a model: its modules, its time, and what it holds on the host.

A model that cannot be built without data is built on the host, where its tensors are real: they
may take only so much.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules import module as modules

from memorymark.bounds import Meter, new_meter
from memorymark.errors import OutOfMemory, quoted
from memorymark.memory.tracker import MemoryTracker
from memorymark.placement.watchdog import watched


@contextmanager
def metered_build(name: str, *, own: bool) -> Iterator[Meter]:
    """Count every module and parameter that this thread makes.

    Args:
        name: The model's name.
        own: Whether it is code of the user's, who may load as much data there as he likes.

    Raises:
        BoundReached: The model has too many of them, or they take too long.
        Cancelled: Somebody has cancelled.
    """
    meter, thread = new_meter(f"Building the model {quoted(name)}"), threading.get_ident()

    def count(*_: Any) -> None:
        if threading.get_ident() == thread:
            meter.module()

    counted = (
        modules.register_module_module_registration_hook(count),
        modules.register_module_parameter_registration_hook(count),
    )
    try:
        with contextlib.nullcontext() if own else watched(meter):
            yield meter
    except BaseException:
        if meter.reached is not None:
            raise meter.reached from None  # also where code of the model's has caught it
        raise
    finally:
        for hook in counted:
            hook.remove()


@contextmanager
def built_on_host(meter: Meter) -> Iterator[None]:
    """Let what is built have real tensors on the host, as far as they may take its memory.

    Raises:
        BoundReached: They take more.
    """
    tracker = MemoryTracker("cpu", budget_bytes=meter.host_bytes)
    try:
        with tracker, torch.device("cpu"):
            yield
    except Exception as error:
        if any(isinstance(each, OutOfMemory) for each in (error, error.__cause__)):
            meter.stop_at_host_bytes()
        raise
    finally:
        tracker.stop()
