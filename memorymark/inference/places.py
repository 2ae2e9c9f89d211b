"""Real devices, as sessions see them: the CPU under a budget, and a CUDA device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from memorymark.inference.host_store import ArrayStore, HostStore
from memorymark.memory.tracker import MemoryTracker
from memorymark.records.session_run import Act, Reading
from memorymark.units import MIB

# What PyTorch's caching allocator takes from a device at once (c10/core/AllocatorConfig.h): up to
# a MiB requests share pages of 2 MiB, larger ones those of 20 MiB.
_SMALL_REQUEST_BYTES, _SMALL_PAGE_BYTES, _PAGE_BYTES = MIB, 2 * MIB, 20 * MIB


def pages_of(sizes: Iterable[int]) -> int:
    """Return what blocks take of a caching allocator where they find nothing but whole pages.

    Example:
        >>> [pages_of(8 * [size * MIB]) // MIB for size in (0.1, 3, 11, 20, 21)]
        [2, 40, 160, 160, 320]
    """
    small, large = 0, 0.0
    for size in sizes:
        if size <= _SMALL_REQUEST_BYTES:
            small += size
        elif size <= _PAGE_BYTES:
            large += _PAGE_BYTES / (_PAGE_BYTES // size)
        else:
            large += _rounded(size, _PAGE_BYTES)
    return _rounded(small, _SMALL_PAGE_BYTES) + _rounded(large, _PAGE_BYTES)


def spare_in_pages(sizes: Iterable[int], beside_bytes: int) -> int:
    """Return what is enough for a pass that makes all tensors of some sizes anew.

    In the worst case nothing that it releases is of use to it, and each block of what it needs
    beside them leaves as much of its page unused.

    Args:
        sizes: Bytes of the tensors.
        beside_bytes: What such passes took beside what was there before.
    """
    page = _PAGE_BYTES if beside_bytes > _SMALL_REQUEST_BYTES else 0
    return pages_of(sizes) + 2 * beside_bytes + page + _SMALL_PAGE_BYTES


def _rounded(size_bytes: float, step_bytes: int) -> int:
    return int(-(-size_bytes // step_bytes)) * step_bytes


class Gauges(Protocol):
    """What is read of an accelerator."""

    def usable_bytes(self) -> int | None:
        """Return what the allocator may take; None for no limit."""

    def allocated_bytes(self) -> int:
        """Return the bytes of live tensors."""

    def reserved_bytes(self) -> int:
        """Return what the caching allocator holds."""

    def split_bytes(self) -> int:
        """Return what lies unused in blocks that the allocator cannot give back."""

    def process_bytes(self) -> int | None:
        """Return what the driver shows for this process; None where it does not."""

    def reset_peak(self) -> None:
        """Forget the peaks so far."""

    def peak_bytes(self) -> tuple[int, int]:
        """Return the most that was allocated and reserved since the peaks were reset."""

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""


class CpuPlace:
    """The CPU under a budget: what is counted are the tensors that a tracker follows.

    Args:
        tracker: Follows the tensors, and holds the budget.
        capacity_bytes: The budget.
        host_bytes: What swapped caches may take beside it; None for no limit.
    """

    def __init__(
        self, tracker: MemoryTracker, capacity_bytes: int | None, host_bytes: int | None = None
    ) -> None:
        self.store: HostStore = ArrayStore(host_bytes)
        self.capacity_bytes = capacity_bytes
        self._tracker = tracker
        self._start = time.perf_counter()

    def allocated_bytes(self) -> int:
        """Return the bytes of live tensors."""
        return self._tracker.live_bytes

    def lost_bytes(self) -> int:
        """Return 0: there is no caching allocator."""
        return 0

    def taken_bytes(self) -> int:
        """Return the bytes of live tensors."""
        return self._tracker.live_bytes

    def spare_bytes(self, sizes: Iterable[int], beside_bytes: int) -> int:
        """Return what is enough for a pass: a tensor that grows is there twice for a while."""
        return beside_bytes + max(sizes, default=0)

    def run(self, act: Act, work: Callable[[], None]) -> Reading:
        """Do some work, and return the seconds and the memory of it.

        Raises:
            OutOfMemory: It takes more than the budget.
        """
        self._tracker.reset_peak()
        start = time.perf_counter()
        work()
        end = time.perf_counter()
        return Reading(
            at_seconds=end - self._start,
            seconds=end - start,
            allocated_bytes=self._tracker.live_bytes,
            peak_bytes=self._tracker.peak_bytes,
        )


class AcceleratorPlace:
    """An accelerator, read through its allocator's statistics and its driver.

    Args:
        gauges: What is read of it.
        store: The host's memory beside it.
        capacity_bytes: What the allocator may take of it.
    """

    def __init__(self, gauges: Gauges, store: HostStore, capacity_bytes: int | None) -> None:
        self.store = store
        self.capacity_bytes = capacity_bytes
        self.peak_reserved_bytes = 0
        self._gauges = gauges
        self._start = time.perf_counter()

    def allocated_bytes(self) -> int:
        """Return the bytes of live tensors."""
        return self._gauges.allocated_bytes()

    def lost_bytes(self) -> int:
        """Return what lies unused between the parts of blocks that are in use."""
        return self._gauges.split_bytes()

    def taken_bytes(self) -> int:
        """Return what live tensors take, and what lies unused between them."""
        return self._gauges.allocated_bytes() + self._gauges.split_bytes()

    def spare_bytes(self, sizes: Iterable[int], beside_bytes: int) -> int:
        """Return what is enough for a pass, whatever the allocator makes of it."""
        return spare_in_pages(sizes, beside_bytes)

    def run(self, act: Act, work: Callable[[], None]) -> Reading:
        """Do some work, wait for the device, and return the seconds and the memory of it."""
        gauges = self._gauges
        gauges.synchronize()
        gauges.reset_peak()
        start = time.perf_counter()
        work()
        gauges.synchronize()
        end = time.perf_counter()
        peak, reserved_peak = gauges.peak_bytes()
        self.peak_reserved_bytes = max(self.peak_reserved_bytes, reserved_peak)
        return Reading(
            at_seconds=end - self._start,
            seconds=end - start,
            allocated_bytes=gauges.allocated_bytes(),
            peak_bytes=peak,
            reserved_bytes=gauges.reserved_bytes(),
            process_bytes=gauges.process_bytes(),
        )
