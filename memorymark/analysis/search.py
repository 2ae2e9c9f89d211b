"""Finds the largest batch that fits, in as few trials as it can.

The search keeps a bracket: the largest batch seen to fit and the smallest seen not to. It ends
when nothing on the grid lies between, so both sides of the answer have been tried. Inside the
bracket the next batch comes from what earlier trials held in live tensors, since that grows
evenly with the batch. What the caching allocator reserved is not used: near the capacity it
stops growing. After a few such guesses the search halves the bracket, whatever memory does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from memorymark.analysis.grid import Grid
from memorymark.errors import InvalidValue
from memorymark.records.config import MAX_BATCH_SIZE, check_count
from memorymark.records.trial import Outcome, Trial

_FIRST_BATCH = 8
_GUIDED_TRIALS = 8
_GUESS_TRIALS = 4
_FLAT_SHARE = 0.01
_FLAT_JUMP = 8
_EVENLY = 1.01
_SHY_SHARE = 0.6
_FAR_OFF = 32


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        max_batch_size: The largest batch that fits; None where none does, or none is known.
        trials: All trials, in the order in which they ran, no batch size twice.
        granularity: To how many samples the answer is exact.
        complete: Whether both sides of the answer have been tried.
        at_upper_bound: Whether the upper bound is the answer, not the memory.
        error: Why the search stopped early, in a sentence.
        findings: What the user should know, one sentence each.
    """

    max_batch_size: int | None
    trials: tuple[Trial, ...]
    granularity: int
    complete: bool = True
    at_upper_bound: bool = False
    error: str | None = None
    findings: tuple[str, ...] = ()


def find_max_batch(
    trial_at: Callable[[int], Trial],
    *,
    granularity: int = 8,
    lower: int = 1,
    upper: int = MAX_BATCH_SIZE,
    capacity_bytes: int | None = None,
    guess: int | None = None,
    known: Sequence[Trial] = (),
) -> SearchResult:
    """Find the largest multiple of the granularity that fits.

    Where the granularity itself does not fit, the answer is refined below it, to one sample.
    Memory that grows by the same bytes with every sample takes at most four trials, two or
    three with a guess that is near. Any other memory takes a number of trials that grows with
    the logarithm of the upper bound. Where memory sometimes shrinks as the batch grows, the
    answer is a batch that fits with a next one that does not.

    Args:
        trial_at: Runs a trial at a batch size.
        granularity: Batch sizes that are tried are multiples of it.
        lower: The smallest batch size that is of interest.
        upper: The largest one.
        capacity_bytes: What a trial may use; None takes it from the trials.
        guess: Where the answer is expected, as from a simulation.
        known: Trials that have run already, of batch sizes on the grid.

    Raises:
        InvalidValue: A bound or the granularity is out of range.
    """
    check_count("granularity", granularity, MAX_BATCH_SIZE)
    check_count("smallest batch size", lower, MAX_BATCH_SIZE)
    if check_count("largest batch size", upper, MAX_BATCH_SIZE) < lower:
        raise InvalidValue("largest batch size", upper, f"{lower} (the smallest) or more")
    search = _Search(Grid.spanning(granularity, lower, upper), lower, upper, capacity_bytes, guess)
    for trial in known:
        search.take(trial)
    while not search.done:
        search.take(trial_at(search.next_batch()))
    return search.result()


def not_monotone(trials: Sequence[Trial]) -> str | None:
    """Say where a batch fits although a smaller one ran out of memory, None if nowhere."""
    oom = min((t.batch_size for t in trials if t.outcome is Outcome.OOM), default=None)
    above = [t.batch_size for t in trials if t.fits and oom is not None and t.batch_size > oom]
    if not above:
        return None
    return (
        f"Batch {max(above)} fits although batch {oom} does not: memory does not always grow with "
        "the batch, so another one that was not tried may fit too."
    )


class _Search:
    """The bracket, in numbers of the grid, and the readings so far."""

    def __init__(
        self, grid: Grid, lower: int, upper: int, capacity_bytes: int | None, guess: int | None
    ) -> None:
        self.grid = grid
        self.floor = grid.ceiling(lower) - 1
        self.ceiling = grid.floor(upper) + 1
        self.fits, self.fails = self.floor, self.ceiling
        self.capacity = capacity_bytes
        self.guess = guess
        self.trials: list[Trial] = []
        self.readings: dict[int, int] = {}
        self.flat: set[int] = set()
        self.error: str | None = None
        self.guided = self.contradictions = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to try between the two sides."""
        return self.error is not None or self.fails - self.fits <= 1

    def take(self, trial: Trial) -> None:
        """Move one side of the bracket to where a trial ended."""
        self.trials.append(trial)
        number = self.grid.ceiling(trial.batch_size)
        self.capacity = self.capacity or trial.capacity_bytes
        if trial.outcome is Outcome.ERROR:
            self.error = trial.error or "The trial failed without an error message."
        elif trial.fits:
            self.fits = number
        else:
            self.fails = number
        self._read(number, trial)

    def next_batch(self) -> int:
        """Choose the batch size of the next trial, strictly between the two sides."""
        number = self._next_number()
        return self.grid.batch(min(max(number, self.fits + 1), self.fails - 1))

    def result(self) -> SearchResult:
        """Say what the trials show."""
        found = None if self.fits == self.floor else self.grid.batch(self.fits)
        below = self.fails < self.grid.granularity and self.fails < self.ceiling
        refined = self.grid.granularity > 1 and (below or (found or 0) < self.grid.granularity)
        return SearchResult(
            max_batch_size=found,
            trials=tuple(self.trials),
            granularity=1 if refined else self.grid.granularity,
            complete=self.error is None,
            at_upper_bound=self.error is None and self.fails == self.ceiling,
            error=self.error,
            findings=self._findings(found if refined else None),
        )

    def _findings(self, refined: int | None) -> tuple[str, ...]:
        if refined is None or self.fails == self.ceiling:
            return ()
        return (
            f"Fewer than {self.grid.granularity} fit, so we searched in steps of 1: {refined}.",
        )

    def _next_number(self) -> int:
        if not self.trials:
            return self.grid.floor(self.guess or _FIRST_BATCH)
        if self.guess and len(self.trials) == 1:
            return self.fits + 1 if self.trials[0].fits else self.fails - 1
        if self.guided < _GUIDED_TRIALS and self.fits in self.readings and self.capacity:
            self.guided += 1
            return self._guided()
        return self._unguided()

    @property
    def _middle(self) -> int:
        """Halve the bracket; a wide one by ratio, since batches spread over magnitudes."""
        low, high = self.grid.batch(max(self.fits, 0)), self.grid.batch(self.fails)
        if self.fits > self.floor and high > 4 * low:
            return min(max(self.grid.floor(math.isqrt(low * high)), self.fits + 1), self.fails - 1)
        return (self.fits + self.fails) // 2

    @property
    def _has_failed(self) -> bool:
        return self.fails < self.ceiling

    def _unguided(self) -> int:
        """Step away from where a guess failed, quadruple below the first failure, else halve."""
        if not self._has_failed:
            return self.grid.floor(4 * self.grid.batch(self.fits))
        if self.guess and self.fits == self.floor:
            return self._below_guess()
        return self._middle

    def _below_guess(self) -> int:
        """Step down ever faster; start from the bottom after too many failures."""
        failed = len(self.trials)
        if failed == _GUESS_TRIALS:
            return min(self.grid.floor(_FIRST_BATCH), self._middle)
        target = self.fails - 2 ** (failed - 2)
        return max(target, self._middle) if failed < _GUESS_TRIALS else self._middle

    def _guided(self) -> int:
        usable = sorted(set(self.readings) - self.flat)
        if self.fits not in usable:
            return self._beyond_flat()
        if len(usable) >= 2:
            return self._near(self._on_line(usable))
        if self._has_failed and self.fails - self.fits <= 4:
            return self._middle
        predicted = self._by_breakdown()
        if predicted is None:
            return self._in_proportion()
        if self.flat or self._has_failed:
            return self._near(predicted)
        return max(self._in_proportion(), int(_SHY_SHARE * predicted))

    def _near(self, predicted: int) -> int:
        """Go to a prediction; next to it, and ever further, where trials contradict it."""
        if self.fits < predicted < self.fails:
            self.contradictions = 0
            return predicted
        step = 2**self.contradictions
        self.contradictions += 1
        if predicted <= self.fits:
            target = self.fits + step
            return min(target, self._middle) if self._has_failed else target
        if not self._has_failed:
            return self.fails - 1
        if self.contradictions > 1:
            step = max(step, (self.fails - self.fits) * step // _FAR_OFF)
        return max(self.fails - step, self._middle)

    def _on_line(self, usable: list[int]) -> int:
        """Follow the line through two readings to the capacity."""
        batch, held = self._point(self.fits)
        other, other_held = self._point(self._partner(usable))
        grown = (held - other_held) * (1 if batch > other else -1)
        if grown <= 0:
            return self._middle if self._has_failed else self.fails
        return self.grid.floor(batch + (self.capacity - held) * abs(batch - other) // grown)

    def _partner(self, usable: list[int]) -> int:
        """Choose the second reading: beyond the capacity if there is one, else well below."""
        beyond = [number for number in usable if number >= self.fails]
        if beyond:
            return beyond[0]
        below = [number for number in usable if number < self.fits]
        far = [n for n in below if 4 * self.grid.batch(n) <= 3 * self.grid.batch(self.fits)]
        return far[-1] if far else below[0]

    def _in_proportion(self) -> int:
        """Go where even memory without a fixed part would fit: safe, since part is fixed."""
        batch, held = self._point(self.fits)
        return self.grid.floor(batch * self.capacity // held) if held else self._unguided()

    def _beyond_flat(self) -> int:
        """Leave batches so small that the optimizer's step holds more than they do.

        Where their memory grows evenly all the same, as of a model that is far larger than its
        samples, it leads to the capacity once something failed.
        """
        batch = self.grid.batch(self.fits)
        if self._has_failed and self._grows_evenly():
            predicted = self._on_line(sorted(self.readings))
            if predicted < self.fails:
                return self._near(predicted)
        target = max(self.grid.floor(2 * batch), self._in_proportion())
        if len(self.readings) >= 2:
            far = self.grid.floor(_FLAT_JUMP * batch)
            target = max(target, min(far, self._on_line(sorted(self.readings))))
        return min(target, self._middle) if self._has_failed else target

    def _grows_evenly(self) -> bool:
        """Whether at least three readings lie on a rising line."""
        points = [self._point(number) for number in sorted(self.readings)]
        slopes = [(held - less) / (n - fewer) for (fewer, less), (n, held) in pairwise(points)]
        return len(slopes) > 1 and 0 < max(slopes) <= _EVENLY * min(slopes)

    def _by_breakdown(self) -> int | None:
        """Take as growing what the breakdown says belongs to the batch."""
        trial = next(t for t in reversed(self.trials) if t.fits)
        parts = trial.breakdown
        growing = parts.activations + parts.inputs + parts.temporaries if parts else 0
        if not growing:
            return None
        batch, held = self._point(self.fits)
        return self.grid.floor((self.capacity - held + growing) * batch // growing)

    def _point(self, number: int) -> tuple[int, int]:
        return self.grid.batch(number), self.readings[number]

    def _read(self, number: int, trial: Trial) -> None:
        """Keep what the trial needed, if it says; an abandoned step says only part of it."""
        needed = trial.minimum_bytes or trial.peak_allocated_bytes
        if needed is None:
            return
        exceeds = self.capacity is not None and needed > self.capacity
        if trial.fits or (trial.outcome is Outcome.OOM and exceeds):
            self.readings[number] = needed
        parts = trial.breakdown
        if parts and parts.gradients and parts.activations < _FLAT_SHARE * parts.total:
            self.flat.add(number)
