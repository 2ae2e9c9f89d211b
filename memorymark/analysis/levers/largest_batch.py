"""Finds the largest batch that fits from one to three simulations.

The search is the one of an analysis, on batches that follow from simulated ones
(`memorymark.probes.span`). Its answer is taken where a batch near it was simulated; else the next
one above it is. Where nothing follows, the batches are searched one simulation after another.
"""

from __future__ import annotations

from typing import Protocol

from memorymark.analysis.grid import Grid
from memorymark.analysis.search import SearchResult, find_max_batch
from memorymark.errors import UnsupportedOperation
from memorymark.records.trial import Outcome, Trial

_MOST_SIMULATIONS = 4
_ABOVE = 1.03


class Batches(Protocol):
    """Tells what batches come to, those that were simulated and others."""

    @property
    def reach(self) -> int:
        """The largest batch up to which what follows is to be trusted; 0 where nothing does."""

    def trial_at(self, batch_size: int) -> Trial:
        """Simulate a batch."""

    def follow(self, batch_size: int) -> Trial:
        """Return what follows for a batch from those that were simulated.

        Raises:
            UnsupportedOperation: Nothing does.
        """


def largest_batch(
    batches: Batches, first: int, capacity_bytes: int, *, granularity: int, upper: int, leap: int
) -> int | None:
    """Return the largest batch on the grid that fits; None where not even one sample does.

    Args:
        batches: Tells what batches come to.
        first: The batch that was simulated first.
        capacity_bytes: What a trial may use.
        granularity: Multiples of it are looked at, and every batch below it.
        upper: The largest batch of interest.
        leap: What to simulate where the first batch says nothing of how memory grows.
    """
    grid, bounds = Grid.spanning(granularity, 1, upper), {"upper": upper}
    bounds["granularity"] = granularity
    tried: list[Trial] = []
    for _ in range(_MOST_SIMULATIONS):
        found = _followed(batches, bounds) if batches.reach else None
        if found is None or not found.complete:
            tried = tried or [batches.trial_at(first)]
            nearby = int(_expected(tried, capacity_bytes, leap) * _ABOVE)
        else:
            nearby = _above(grid, found, upper)
            if nearby <= batches.reach:
                return found.max_batch_size
        number = min(max(grid.ceiling(nearby), 1), grid.floor(upper))
        if grid.batch(number) == first:
            number = number + 1 if number < grid.floor(upper) else max(number - 1, 1)
        tried.append(batches.trial_at(grid.batch(number)))
        if tried[-1].outcome is Outcome.ERROR:
            break
    expected = int(_expected(tried, capacity_bytes, leap)) if tried else leap
    guess = grid.batch(min(max(grid.floor(expected), 1), grid.floor(upper)))
    found = find_max_batch(batches.trial_at, capacity_bytes=capacity_bytes, guess=guess, **bounds)
    return found.max_batch_size if found.complete else None


def _followed(batches: Batches, bounds: dict[str, int]) -> SearchResult | None:
    """Search among what follows; None where the search comes to a batch for which nothing does."""
    try:
        return find_max_batch(batches.follow, **bounds)
    except UnsupportedOperation:
        return None


def _above(grid: Grid, found: SearchResult, upper: int) -> int:
    """Return the batch above the answer, whose trial tells that there is no larger one."""
    number = 0 if found.max_batch_size is None else grid.floor(found.max_batch_size)
    return grid.batch(min(number + 1, grid.floor(upper)))


def _expected(tried: list[Trial], capacity_bytes: int, leap: int) -> float:
    """Follow what grows with the batch to the capacity.

    Two trials tell how it grows; of one, what its breakdown says belongs to the batch.
    """
    last, held = tried[-1], tried[-1].peak_allocated_bytes or 0
    if len(tried) > 1:
        other = tried[-2]
        grown = held - (other.peak_allocated_bytes or 0)
        per_sample = grown / ((last.batch_size - other.batch_size) or 1)
        return last.batch_size + (capacity_bytes - held) / per_sample if per_sample > 0 else leap
    parts = last.breakdown
    growing = parts.activations + parts.inputs + parts.temporaries if parts else 0
    if not growing:
        return leap
    return min(last.batch_size * (1 + (capacity_bytes - held) / growing), leap)
