"""The interface of an accelerator's back end, as a trial uses it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch


@dataclass(frozen=True)
class Peak:
    """What a device held at most since its peaks were last reset.

    Attributes:
        allocated_bytes: Live tensors.
        reserved_bytes: The caching allocator's memory.
        is_sampled: Whether it was read at changes of phase only, so that it may be too low.
    """

    allocated_bytes: int
    reserved_bytes: int
    is_sampled: bool = False


@dataclass(frozen=True)
class Usage:
    """Who holds memory on a device, as its driver says.

    Attributes:
        process_bytes: What this process holds; None where unknown.
        others: A sentence about the other processes; None where they hold next to nothing.
    """

    process_bytes: int | None = None
    others: str | None = None


class AcceleratorDevice(Protocol):
    """The calls to a back end that a trial needs."""

    device: torch.device

    def selected(self) -> AbstractContextManager[Any]:
        """Make the device the current one."""

    def limited(self) -> AbstractContextManager[Any]:
        """Hold the budget while a trial runs, and restore what was before."""

    def allocated_bytes(self) -> int:
        """Return the bytes of live tensors now."""

    def reserved_bytes(self) -> int:
        """Return the bytes that the caching allocator holds now."""

    def reset_peak(self) -> None:
        """Forget the peaks so far."""

    def sample(self, phase: str) -> None:
        """Take note of memory at a change of phase, where there is no peak statistic."""

    def peak(self) -> Peak:
        """Return the peaks since they were last reset."""

    def retries(self) -> int | None:
        """Return how often the allocator gave back its cache and tried again; None if unknown."""

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""

    def time_steps(self, step: Callable[[], None], count: int) -> list[float]:
        """Run steps and return the seconds of each."""

    def release_cache(self) -> None:
        """Give back what the allocator and the libraries hold without using it."""

    def usage(self) -> Usage:
        """Ask the driver who holds memory."""

    def is_poisoned(self, error: BaseException) -> bool:
        """Return whether the device can run nothing more after this error."""
