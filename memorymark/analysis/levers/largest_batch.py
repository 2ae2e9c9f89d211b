"""Finds the largest batch that fits from one to three simulations.

The search is the one of an analysis, on batches that follow from simulated ones
(`memorymark.probes.span`). Its answer is taken where a batch near it was looked at; else the next
one above it is. A batch that does not follow is simulated whole. Where nothing follows, the
batches are searched one simulation after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from memorymark.analysis.grid import Grid
from memorymark.analysis.search import SearchResult, find_max_batch
from memorymark.errors import UnsupportedOperation
from memorymark.records.trial import Trial

_MOST_SIMULATIONS = 4
_ABOVE = 1.03


class Batches(Protocol):
    """Tells what batches come to, those that were simulated and others."""

    @property
    def reach(self) -> int:
        """The largest batch up to which what follows is to be trusted; 0 where nothing does."""

    def look_at(self, batch_size: int) -> None:
        """Simulate as much of a batch as tells how memory grows up to it."""

    def trial_at(self, batch_size: int) -> Trial:
        """Simulate a batch, or return what was simulated."""

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
    grid = Grid.spanning(granularity, 1, upper)
    bounds = {"upper": upper, "granularity": granularity}
    guess = _on_grid(grid, _expected(batches.trial_at(first), capacity_bytes, leap), upper)
    nearby = _on_grid(grid, guess * _ABOVE, upper)
    for _ in range(_MOST_SIMULATIONS):
        if nearby > batches.reach:
            batches.look_at(nearby)
            if not batches.reach:
                break
        search = _Followed(batches)
        found = search.result(bounds)
        if found is None:
            batches.trial_at(search.last)
            continue
        guess, nearby = found.max_batch_size or 1, _above(grid, found, upper)
        if nearby <= batches.reach:
            return found.max_batch_size
    found = find_max_batch(batches.trial_at, capacity_bytes=capacity_bytes, guess=guess, **bounds)
    return found.max_batch_size if found.complete else None


class _Followed:
    """A search among what follows, which remembers the batch that it asked for last."""

    def __init__(self, batches: Batches) -> None:
        self.last = 0
        self._batches = batches

    def result(self, bounds: Mapping[str, int]) -> SearchResult | None:
        """Return what it finds; None where it comes to a batch for which nothing follows."""
        try:
            return find_max_batch(self._ask, **bounds)
        except UnsupportedOperation:
            return None

    def _ask(self, batch_size: int) -> Trial:
        self.last = batch_size
        return self._batches.follow(batch_size)


def _on_grid(grid: Grid, batch_size: float, upper: int) -> int:
    return grid.batch(min(max(grid.ceiling(int(batch_size)), 1), grid.floor(upper)))


def _above(grid: Grid, found: SearchResult, upper: int) -> int:
    """Return the batch above the answer, whose trial tells that there is no larger one."""
    number = 0 if found.max_batch_size is None else grid.floor(found.max_batch_size)
    return grid.batch(min(number + 1, grid.floor(upper)))


def _expected(trial: Trial, capacity_bytes: int, leap: int) -> float:
    """Let grow to the capacity what a trial's breakdown says belongs to the batch."""
    parts, held = trial.breakdown, trial.peak_allocated_bytes or 0
    growing = parts.activations + parts.inputs + parts.temporaries if parts else 0
    if not growing:
        return leap
    return min(trial.batch_size * (1 + (capacity_bytes - held) / growing), leap)
