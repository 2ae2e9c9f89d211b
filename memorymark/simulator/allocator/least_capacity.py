"""Finds the least capacity in which a trace of allocations replays."""

from __future__ import annotations

from memorymark.simulator.allocator.blocks import (
    MIN_BLOCK_BYTES,
    SEGMENT_ROUNDING_BYTES,
    round_up,
)
from memorymark.simulator.allocator.replay import Events, Replay, ReplayResult, replay

_PRECISION = 1000


def peak_live_bytes(events: Events) -> int:
    """Return the most bytes in use at once, each block rounded up to 512 B."""
    live = peak = 0
    for _, size_bytes in events:
        if size_bytes > 0:
            live -= -size_bytes // MIN_BLOCK_BYTES * MIN_BLOCK_BYTES
            if live > peak:
                peak = live
        elif size_bytes < 0:
            live += size_bytes // MIN_BLOCK_BYTES * MIN_BLOCK_BYTES
    return peak


def minimum_bytes(
    events: Events,
    free_running: ReplayResult | None = None,
    *,
    expandable_segments: bool | None = None,
) -> int:
    """Return the least capacity in which the whole trace replays, to within 0.1 % or 2 MiB.

    The trace replays at the figure that is returned. It lies between the peak of live blocks and
    the peak reserved of a run without limit, which are halved to the precision; a replay on a
    device that grows where it is too small says at which of these parts to look first. Whether a
    trace replays is not strictly monotone in the capacity, because another point of giving back
    the cache leaves other fragments: below the figure there can be isolated capacities that also
    work, and above it ones that do not.

    Args:
        events: The trace, as for `replay`.
        free_running: What its replay without limit came to, where that is known already.
        expandable_segments: Whether segments grow page by page; None follows PyTorch's variable.
    """
    step = SEGMENT_ROUNDING_BYTES
    if free_running is None:
        free_running = replay(events, expandable_segments=expandable_segments)
    too_small = round_up(peak_live_bytes(events), step) // step - 1
    search = _Search(too_small, free_running.peak_reserved_bytes // step)
    below, _ = search.around(search.high)
    if below > search.low:
        search.take(below, _lacking(events, below, expandable_segments))
        if search.fits == below:
            search.look_near(_with_room_made(events, search, expandable_segments))
    while (capacity := search.next_capacity()) is not None:
        search.take(capacity, _lacking(events, capacity, expandable_segments))
    return search.fits * step


class _Search:
    """A stretch between two capacities, halved until its parts are small enough.

    The part is looked for in which a trace begins to fit: where it is expected first, then ever
    further from there. All capacities are in steps of segments.

    Args:
        low: A capacity that is too small.
        high: One that is enough.

    Attributes:
        fails: The largest capacity that is known to be too small.
        fits: The smallest that is known to be enough.
    """

    def __init__(self, low: int, high: int) -> None:
        self.low = self.fails = low
        self.high = self.fits = high
        self._expected = high
        self._stride = 1

    def around(self, capacity: int) -> tuple[int, int]:
        """Return the ends of the part that a capacity is in, its upper end included."""
        low, high = self.low, self.high
        while high - low > max(1, high // _PRECISION):
            middle = (high + low) // 2
            if capacity <= middle:
                high = middle
            else:
                low = middle
        return low, high

    def look_near(self, capacity: int) -> None:
        """Expect the answer at a capacity."""
        self._expected = capacity

    def next_capacity(self) -> int | None:
        """Return the capacity to try next; None where both sides of the answer are known."""
        below, enough = self.around(min(max(self._expected, self.fails + 1), self.fits))
        if enough < self.fits:
            return enough
        return below if below > self.fails else None

    def take(self, capacity: int, lacking: int | None) -> None:
        """Note a capacity at which the trace fits, or at which it would have got further."""
        below, enough = self.around(capacity)
        stride, middle = (enough - below) * self._stride, (self.fails + self.fits) // 2
        if lacking is None:
            self.fits = capacity
            self._expected = max(capacity - stride + 1, middle)
        else:
            self.fails = capacity
            self._expected = min(max(capacity + stride, lacking), middle)
        self._stride *= 2


def _lacking(events: Events, capacity: int, expandable_segments: bool | None) -> int | None:
    """Return a capacity at which a replay would have got further; None where it fits."""
    step = SEGMENT_ROUNDING_BYTES
    tried = Replay(capacity * step, expandable_segments=expandable_segments)
    tried.feed(events)
    lacking = tried.lacking_bytes(events)
    tried.close()
    return None if lacking is None else -(-lacking // step)


def _with_room_made(events: Events, search: _Search, expandable_segments: bool | None) -> int:
    """Return, in steps, how large a device becomes that grows wherever it has no room."""
    step = SEGMENT_ROUNDING_BYTES
    _, capacity = search.around(search.low + 1)
    growing = Replay(capacity * step, expandable_segments=expandable_segments)
    growing.feed(events)
    while capacity < search.high and (lacking := growing.lacking_bytes(events)) is not None:
        _, capacity = search.around(max(capacity + 1, -(-lacking // step)))
        growing.go_on(events, capacity * step)
    growing.close()
    return min(capacity, search.high)
