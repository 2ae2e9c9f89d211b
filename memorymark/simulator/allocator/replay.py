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
    Block,
    round_request,
)
from memorymark.simulator.allocator.caching_allocator import CachingAllocator

Events = Sequence[tuple[int, int]]
EMPTY_CACHE = (0, 0)


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

    @property
    def reserved_bytes(self) -> int:
        """Bytes taken from the device now."""
        return self._allocator.reserved_bytes

    def taken_bytes(self) -> int:
        """Return the reserved bytes that cannot be given back to the device now."""
        return self._allocator.reserved_bytes - self._allocator.releasable_bytes()

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

    def give_up(self, events: Events) -> None:
        """Play on from what found no room, where the program caught that and let go of its work.

        Nothing is allocated any more: what the events would allocate from there on was never made.
        """
        assert self._failed_at is not None
        in_use = self._in_use
        for block_id, size_bytes in events[self._failed_at :]:
            if size_bytes > 0:
                in_use[block_id] = None
            elif (used := in_use.pop(block_id, None)) is not None:
                self._allocator.put_back(used)
        self._position, self._failed_at = len(events), None

    def lacking_bytes(self, events: Events) -> int | None:
        """Return a capacity with room for what found none; None where everything did."""
        if self._failed_at is None:
            return None
        return self._allocator.capacity_for(round_request(events[self._failed_at][1]))

    def go_on(self, events: Events, capacity_bytes: int) -> None:
        """Play on from what found no room, as if the device had become larger."""
        assert self._failed_at is not None
        self._position, self._failed_at = self._failed_at, None
        self._allocator.enlarge(capacity_bytes)
        self.feed(events)

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
