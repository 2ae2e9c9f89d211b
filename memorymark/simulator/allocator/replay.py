"""Play a trace of allocations through the simulated caching allocator.

A trace is a sequence of (block id, bytes): positive bytes allocate a block of that many bytes,
negative bytes release it; EMPTY_CACHE gives back to the device what nobody uses, as
`torch.cuda.empty_cache` does. Ids are unique within a trace. Segments are expandable where the
environment variable PYTORCH_ALLOC_CONF says so (`environment.py`), as on a GPU.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from memorymark.simulator.allocator import environment
from memorymark.simulator.allocator.blocks import (
    MIN_BLOCK_BYTES,
    SEGMENT_ROUNDING_BYTES,
    Block,
    round_request,
    round_up,
)
from memorymark.simulator.allocator.caching_allocator import CachingAllocator

Events = Sequence[tuple[int, int]]
EMPTY_CACHE = (0, 0)
_PRECISION = 1000


@dataclass(frozen=True)
class ReplayResult:
    """What a replay came to.

    Attributes:
        fits: Whether every allocation found room but for optional ones.
        peak_allocated_bytes: Most bytes of blocks in use, as `torch.cuda.max_memory_allocated`.
        peak_reserved_bytes: Most bytes taken from the device, as `max_memory_reserved`.
        retries: How often the cache was given back to find room; a step that does it thrashes.
        failed_at: Position of the event that found no room; None where all did.
    """

    fits: bool
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    retries: int
    failed_at: int | None


def replay(
    events: Events,
    capacity_bytes: int | None = None,
    *,
    expandable_segments: bool | None = None,
    optional: Collection[int] = (),
) -> ReplayResult:
    """Replay a trace from an empty allocator; stop where it runs out of memory.

    Args:
        events: (block id, +bytes) for an allocation, (block id, -bytes) for its release.
        capacity_bytes: What cudaMalloc hands out in all; None is without limit.
        expandable_segments: Whether segments grow page by page; None follows PyTorch's variable.
        optional: Ids of blocks that are left out where they find no room, even after the cache
            was given back.

    Example:
        >>> replay([(1, 4096), (2, 3_000_000), (1, -4096)]).peak_reserved_bytes
        23068672
    """
    replayed = Replay(capacity_bytes, expandable_segments=expandable_segments, optional=optional)
    replayed.feed(events)
    replayed.close()
    return replayed.result()


class Replay:
    """A replay that goes on as a trace grows.

    Args:
        capacity_bytes: What cudaMalloc hands out in all; None is without limit.
        expandable_segments: Whether segments grow page by page; None follows PyTorch's variable.
        optional: Ids of blocks that are left out where they find no room.
    """

    def __init__(
        self,
        capacity_bytes: int | None = None,
        *,
        expandable_segments: bool | None = None,
        optional: Collection[int] = (),
    ) -> None:
        if expandable_segments is None:
            expandable_segments = environment.expandable_segments()
        self._allocator = CachingAllocator(capacity_bytes, expandable_segments=expandable_segments)
        self._optional = optional
        self._in_use: dict[int, Block | None] = {}
        self._position = 0
        self._failed_at: int | None = None

    @property
    def peak_reserved_bytes(self) -> int:
        """Most bytes taken from the device so far."""
        return self._allocator.peak_reserved_bytes

    def feed(self, events: Events) -> None:
        """Play the events after those that were played before, until one finds no room."""
        if self._failed_at is not None:
            return
        take, put_back, in_use = self._allocator.take, self._allocator.put_back, self._in_use
        for position in range(self._position, len(events)):
            block_id, size_bytes = events[position]
            if size_bytes < 0:
                used = in_use.pop(block_id)
                if used is not None:
                    put_back(used)
                continue
            if size_bytes == 0:
                self._allocator.empty_cache()
                continue
            block = take(-(-size_bytes // MIN_BLOCK_BYTES) * MIN_BLOCK_BYTES)
            if block is None:
                if block_id in self._optional:
                    in_use[block_id] = None
                    continue
                self._failed_at = position
                break
            in_use[block_id] = block
        self._position = len(events)

    def close(self) -> None:
        """Let go of the blocks; only the result may be asked for from here on."""
        for block in self._in_use.values():
            if block is not None:
                block.before = block.after = None
        self._in_use.clear()
        self._allocator.close()

    def result(self) -> ReplayResult:
        """Return what the replay has come to."""
        return ReplayResult(
            fits=self._failed_at is None,
            peak_allocated_bytes=self._allocator.peak_allocated_bytes,
            peak_reserved_bytes=self._allocator.peak_reserved_bytes,
            retries=self._allocator.retries,
            failed_at=self._failed_at,
        )


def peak_live_bytes(events: Events) -> int:
    """Return the most bytes in use at once, each block rounded up to 512 B."""
    live = peak = 0
    for _, size_bytes in events:
        if size_bytes > 0:
            live += round_request(size_bytes)
            peak = max(peak, live)
        elif size_bytes < 0:
            live -= round_request(-size_bytes)
    return peak


def minimum_bytes(
    events: Events,
    free_running: ReplayResult | None = None,
    *,
    expandable_segments: bool | None = None,
) -> int:
    """Return the least capacity in which the whole trace replays, to within 0.1 % or 2 MiB.

    The trace replays at the figure that is returned. It is found by bisection between the peak of
    live blocks and the peak reserved of a run without limit. Whether a trace replays is not
    strictly monotone in the capacity, because another point of giving back the cache leaves other
    fragments: below the figure there can be isolated capacities that also work, and above it ones
    that do not.

    Args:
        events: The trace, as for `replay`.
        free_running: What its replay without limit came to, where that is known already.
        expandable_segments: Whether segments grow page by page; None follows PyTorch's variable.
    """
    step = SEGMENT_ROUNDING_BYTES
    too_small = round_up(peak_live_bytes(events), step) // step - 1
    if free_running is None:
        free_running = replay(events, expandable_segments=expandable_segments)
    enough = free_running.peak_reserved_bytes // step
    while enough - too_small > max(1, enough // _PRECISION):
        middle = (enough + too_small) // 2
        if replay(events, middle * step, expandable_segments=expandable_segments).fits:
            enough = middle
        else:
            too_small = middle
    return enough * step
