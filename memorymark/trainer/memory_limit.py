"""The hard limit of a training's memory: the allocator's own on accelerators, counted on the CPU.

Counting every storage on the CPU takes several times as long as a small step. So work is followed
until two runs of it in a row have allocated the same, in the same order; what comes after is not
followed, but for one run in a thousand, and work that never repeats itself is followed for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from memorymark.errors import NotAvailable
from memorymark.memory.tracker import MemoryTracker
from memorymark.probes.accelerator import AcceleratorProbe
from memorymark.probes.back_end import AcceleratorDevice
from memorymark.probes.cpu import CpuProbe
from memorymark.probes.probe import Probe

Live = Callable[[], Iterable[tuple[str, Tensor, str]]]

_FOLLOWED_AGAIN = 1000
_LONGEST_TRACE = 1_000_000  # events, of work that never repeats itself


class MemoryLimit(Protocol):
    """Holds the budget while a training runs, and reads its memory.

    Attributes:
        device: Where it runs.
    """

    device: torch.device

    def held(self) -> AbstractContextManager[None]:
        """Make the device the current one, and hold its budget."""

    def run(self, kind: object, work: Callable[[], None]) -> None:
        """Do a piece of work within the budget.

        Args:
            kind: Equal for pieces that may take the same memory: what they do, at which batch.
            work: Does it.

        Raises:
            OutOfMemory: It goes beyond the budget, on the CPU; elsewhere it is torch's own error.
        """

    def peak_of(self, kind: object) -> int | None:
        """Return the most bytes that lived in work of a kind; None where it was not counted."""

    def peak_bytes(self) -> tuple[int, int | None]:
        """Return the most bytes of live tensors, and of the allocator if there is one."""

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""

    def release(self) -> None:
        """Give back what the allocator holds without using it."""


def memory_limit(probe: Probe, live: Live, check: Callable[[], None]) -> MemoryLimit:
    """Return what holds the budget of a probe's device.

    Args:
        probe: The probe.
        live: Yields name, tensor and category of all that lives on between two pieces of work.
        check: Called often; raises where the work is to end.

    Raises:
        NotAvailable: The probe is another one than those of a real device.
    """
    if isinstance(probe, AcceleratorProbe):
        return AllocatorLimit(probe.device)
    if isinstance(probe, CpuProbe):
        return CountedLimit(probe.target.capacity_bytes, live, check)
    raise NotAvailable(
        f"{probe.target.name} trains nothing: training runs on a device of this machine."
    )


@contextmanager
def budget_held(probe: Probe) -> Iterator[None]:
    """Hold an accelerator's budget from here on: from the building of the model on."""
    if not isinstance(probe, AcceleratorProbe):
        yield
        return
    with probe.device.selected(), probe.device.limited():
        yield


@dataclass
class _Followed:
    """What is known of one kind of work.

    Attributes:
        sizes: Bytes of its allocations in order, when it was last followed.
        peak_bytes: The most that lived in it, of all times that it was followed.
        is_steady: Whether two runs in a row were the same.
        varies: Whether it was steady once, and then was not: it is followed for good.
        runs: How often it was run since it was followed.
    """

    sizes: tuple[int, ...] = ()
    peak_bytes: int = 0
    is_steady: bool = False
    varies: bool = False
    runs: int = 0


class CountedLimit:
    """Counts storages on the CPU.

    Args:
        budget_bytes: The most that may be live; None for no limit.
        live: Yields all that lives on between two pieces of work.
        check: Called before each operation that is followed.
    """

    device = torch.device("cpu")

    def __init__(self, budget_bytes: int | None, live: Live, check: Callable[[], None]) -> None:
        self._budget_bytes, self._live, self._check = budget_bytes, live, check
        self._known: dict[object, _Followed] = {}
        self._tracker: MemoryTracker | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """There is one device, and nothing to hold but what is counted."""
        try:
            yield
        finally:
            self._forget_tracker()

    def run(self, kind: object, work: Callable[[], None]) -> None:
        """Do a piece of work, and follow it where it is not known what it takes."""
        known = self._known.setdefault(kind, _Followed())
        known.runs += 1
        if known.is_steady and known.runs < _FOLLOWED_AGAIN:
            work()
            return
        known.runs = 0
        self._follow(known, work)

    def _follow(self, known: _Followed, work: Callable[[], None]) -> None:
        tracker = self._tracker = self._tracker or self._new_tracker()
        before = len(tracker.trace.events)
        tracker.reset_peak()
        try:
            with tracker:
                work()
        except BaseException:
            self._forget_tracker()
            raise
        finally:
            known.peak_bytes = max(known.peak_bytes, tracker.peak_bytes)
        events = tracker.trace.events
        sizes = tuple(size for _, size in events[before:] if size > 0)
        alike = sizes == known.sizes
        known.varies |= known.is_steady and not alike
        known.is_steady, known.sizes = alike and not known.varies, sizes
        if known.is_steady or len(events) > _LONGEST_TRACE:
            self._forget_tracker()

    def _new_tracker(self) -> MemoryTracker:
        """Return a tracker that knows all that lives."""
        tracker = MemoryTracker("cpu", budget_bytes=self._budget_bytes, on_operation=self._check)
        for name, tensor, category in self._live():
            tracker.add([(name, tensor)], category)
        return tracker

    def _forget_tracker(self) -> None:
        if self._tracker is not None:
            self._tracker.stop()
            self._tracker = None

    def peak_of(self, kind: object) -> int | None:
        """Return the most bytes that were counted in work of a kind."""
        known = self._known.get(kind)
        return known.peak_bytes if known else None

    def peak_bytes(self) -> tuple[int, None]:
        """Return the most bytes that were counted."""
        return max((each.peak_bytes for each in self._known.values()), default=0), None

    def synchronize(self) -> None:
        """Do nothing: what is done is done."""

    def release(self) -> None:
        """Do nothing: there is no allocator between."""


class AllocatorLimit:
    """Leaves the budget to an accelerator's allocator, and asks it.

    Args:
        device: The back end's calls.
    """

    def __init__(self, device: AcceleratorDevice) -> None:
        self.device = device.device
        self._calls = device

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the device the current one, hold its budget, and start its statistics anew."""
        with self._calls.selected(), self._calls.limited():
            self._calls.synchronize()
            self._calls.reset_peak()
            yield
            self._calls.synchronize()

    def run(self, kind: object, work: Callable[[], None]) -> None:
        """Do a piece of work."""
        work()

    def peak_of(self, kind: object) -> int:
        """Return the most bytes of live tensors so far."""
        return self.peak_bytes()[0]

    def peak_bytes(self) -> tuple[int, int | None]:
        """Return the allocator's peaks."""
        self._calls.sample("step")
        peak = self._calls.peak()
        return peak.allocated_bytes, peak.reserved_bytes

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""
        self._calls.synchronize()

    def release(self) -> None:
        """Give back the allocator's cache."""
        self._calls.release_cache()
