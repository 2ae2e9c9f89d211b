"""The batches that may be recommended, and between which of them the answers still lie.

Two answers are places on the grid of batch sizes: the largest batch within the headroom, and the
knee, which is the smallest one that reaches 98 % of the best throughput within the headroom. Each
lies in a bracket between two batches that were tried, and is known where nothing on the grid lies
between the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from memorymark.analysis.grid import Grid
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions, Objective
from memorymark.records.gain import GOOD_ENOUGH
from memorymark.records.trial import Source, Stage, Trial


def fitting_trials(trials: Iterable[Trial], max_batch_size: int | None) -> list[Trial]:
    """Return the whole steps that fit, up to the max batch, smallest first."""
    if max_batch_size is None:
        return []
    steps = [trial for trial in trials if trial.stage is Stage.STEP and trial.fits]
    kept = [trial for trial in steps if trial.batch_size <= max_batch_size]
    return sorted(kept, key=lambda trial: trial.batch_size)


def is_within(trial: Trial, limit_bytes: int | None) -> bool:
    """Say whether a trial leaves the headroom free; True where that cannot be known.

    Of a range, the higher end has to: optional workspaces give way to the step's own tensors, but
    not to what else runs on the device, for which the headroom is there.
    """
    most = trial.most_memory_bytes
    return limit_bytes is None or most is None or most <= limit_bytes


def candidates(analysis: Analysis, options: AnalysisOptions) -> list[Trial]:
    """Return the trials within the headroom that may be recommended, smallest first.

    On a simulated GPU they are multiples of the search step, where there is one: what else was
    tried, such as the current batch, must not change the answer. On a device, where trials are
    few, all of them count.
    """
    limit = options.memory_limit(analysis.capacity_bytes)
    fitting = fitting_trials(analysis.trials, analysis.max_batch_size)
    within = [trial for trial in fitting if is_within(trial, limit)]
    if analysis.target.source is not Source.SIMULATED:
        return within
    step = analysis.search_granularity or 1
    return [trial for trial in within if trial.batch_size % step == 0] or within


def good_enough(trials: Iterable[Trial]) -> tuple[list[Trial], float | None]:
    """Return those that reach 98 % of the best throughput, and that throughput.

    Args:
        trials: Candidates, smallest first; those without a throughput do not count.
    """
    timed = [trial for trial in trials if trial.samples_per_second]
    if not timed:
        return [], None
    least = GOOD_ENOUGH * max(trial.samples_per_second for trial in timed)
    return [trial for trial in timed if trial.samples_per_second >= least], least


@dataclass(frozen=True)
class Bracket:
    """Two places on the grid, between which an answer lies.

    Attributes:
        grid: The batch sizes that may be tried.
        low: Number of the lower place on the grid; it may be one before the first.
        high: Number of the upper place.
        expected: Says at which number the answer is expected.
        tried: Batch sizes of all trials.
    """

    grid: Grid
    low: int
    high: int
    expected: Callable[[], int | None]
    tried: frozenset[int]

    @property
    def is_closed(self) -> bool:
        """Whether nothing is left to try between the two."""
        return not self._open()

    @property
    def batches_between(self) -> tuple[int, int] | None:
        """The smallest and the largest batch size that is left to try; None where none is."""
        left = self._open()
        return (self.grid.batch(left[0]), self.grid.batch(left[-1])) if left else None

    @property
    def expected_batch(self) -> int | None:
        """The batch size where the answer is expected, be it tried or not."""
        wanted = self.expected()
        return None if wanted is None or wanted < 1 else self.grid.batch(wanted)

    def is_narrow(self, share: float) -> bool:
        """Say whether it spans no more than a share of its upper end."""
        low, high = self.grid.batch(self.low), self.grid.batch(self.high)
        return high - low <= share * high

    def next_batch(self, *, halve: bool = False) -> int | None:
        """Return the untried batch size that is nearest to where the answer is expected.

        Args:
            halve: Take the middle, whatever is expected.
        """
        left = self._open()
        if not left:
            return None
        wanted = None if halve else self.expected()
        if wanted is None:
            wanted = (self.low + self.high) // 2
        return self.grid.batch(min(left, key=lambda number: (abs(number - wanted), number)))

    def _open(self) -> list[int]:
        numbers = range(self.low + 1, self.high)
        return [number for number in numbers if self.grid.batch(number) not in self.tried]


def headroom_bracket(analysis: Analysis, options: AnalysisOptions) -> Bracket | None:
    """Return where the largest batch within the headroom lies; None where it is the max batch."""
    limit = options.memory_limit(analysis.capacity_bytes)
    grid = Grid(analysis.search_granularity or 1)
    trials = fitting_trials(analysis.trials, analysis.max_batch_size)
    fitting = [trial for trial in trials if grid.holds(trial.batch_size)]
    below = [trial for trial in fitting if is_within(trial, limit)][-1:]
    least = below[0].batch_size if below else 0
    above = [t for t in fitting if t.batch_size > least and not is_within(t, limit)][:1]
    if not above or limit is None:
        return None

    def expected() -> int | None:
        if not below:
            return grid.floor(above[0].batch_size // 2)
        return grid.floor(_reaching(below[0], above[0], limit))

    return _bracket(analysis, grid, grid.floor(least), grid.floor(above[0].batch_size), expected)


def knee_bracket(analysis: Analysis, options: AnalysisOptions) -> Bracket | None:
    """Return where the knee lies; None where throughput does not matter or is not known."""
    if options.objective is not Objective.THROUGHPUT:
        return None
    found = candidates(analysis, options)
    enough, least = good_enough(found)
    if not enough or least is None:
        return None
    step = analysis.search_granularity or 1
    grid, knee = Grid(step), enough[0]
    below = [t for t in found if t.step_seconds and t.batch_size < knee.batch_size][-1:]
    first = grid.floor(step) if knee.batch_size >= step else 1
    low = max(grid.floor(below[0].batch_size), first - 1) if below else first - 1

    def expected() -> int | None:
        if not below:
            return first
        batch_size = _good_enough_from(below[0], knee, least)
        # Until the answer is exact both neighbors are tried: the nearer one first. On a device
        # neither is, and a batch that is not good enough would be a trial in vain.
        is_exact = analysis.target.source is Source.SIMULATED
        return grid.nearest(batch_size) if is_exact else grid.ceiling(batch_size)

    return _bracket(analysis, grid, low, grid.ceiling(knee.batch_size), expected)


def _bracket(
    analysis: Analysis, grid: Grid, low: int, high: int, expected: Callable[[], int | None]
) -> Bracket:
    tried = frozenset(trial.batch_size for trial in analysis.trials)
    return Bracket(grid, low, high, expected, tried)


def _reaching(below: Trial, beyond: Trial, limit_bytes: int) -> int:
    """Return the batch whose memory reaches a limit, on the line through two trials."""
    samples = beyond.batch_size - below.batch_size
    held = _uncut_bytes(beyond, below) - below.most_memory_bytes
    return below.batch_size + (limit_bytes - below.most_memory_bytes) * samples // held


def _uncut_bytes(trial: Trial, smaller: Trial) -> int:
    """Return the memory that a trial would take, were the range of its peak not cut off.

    Optional workspaces take what is left of the capacity and no more. How far the range reaches
    above the live tensors is then taken from a smaller trial.
    """
    most = trial.most_memory_bytes
    is_cut_off = trial.peak_reserved_high_bytes is not None and most == trial.capacity_bytes
    if not is_cut_off or not (trial.peak_allocated_bytes and smaller.peak_allocated_bytes):
        return most
    return max(
        most, trial.peak_allocated_bytes * smaller.most_memory_bytes // smaller.peak_allocated_bytes
    )


def _good_enough_from(below: Trial, above: Trial, least_throughput: float) -> int:
    """Return from which batch on a throughput is reached, with seconds on the line through two."""
    samples = above.batch_size - below.batch_size
    each = (above.step_seconds - below.step_seconds) / samples
    fixed = below.step_seconds - each * below.batch_size
    batches_per_second = least_throughput / above.config.gradient_accumulation
    # n samples take fixed + each * n seconds, and n over these is to be the throughput.
    spare = 1 - batches_per_second * each
    if spare <= 0 or fixed <= 0:
        return (below.batch_size + above.batch_size) // 2
    reached = batches_per_second * fixed / spare
    return math.ceil(min(max(reached, below.batch_size), above.batch_size))


def open_bracket(analysis: Analysis, options: AnalysisOptions) -> Bracket | None:
    """Return between which batches the optimal one may still lie; None where it is exact."""
    brackets = headroom_bracket(analysis, options), knee_bracket(analysis, options)
    return next((found for found in brackets if found and not found.is_closed), None)
