"""Chooses the batch sizes to try below the max batch size, for the throughput curve."""

from __future__ import annotations

from memorymark.analysis.marks import (
    GOOD_ENOUGH,
    fitting_trials,
    is_within,
    mark_at,
    memory_limit,
    optimal_mark,
)
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import Objective
from memorymark.records.trial import Outcome, Source, Trial

MAX_RUNGS = 3
"""Trials beside the current batch that a ladder takes at most: each one costs real time."""

PATIENCE_SECONDS = 60.0
"""Once trials have taken this long, halves of the max are left out: the device is slow."""

_SHARES = (2, 4)
_NEAR = 0.25


def next_rung(analysis: Analysis, rungs: int) -> int | None:
    """Choose the next batch to run, None where enough is known.

    First the current batch; then the largest batch within the headroom; then halves of the max
    where no trial is near them yet, to see where throughput stops growing. On a simulated GPU they
    are tried from the smallest, and only while they may become the optimal batch.

    Args:
        analysis: What is known so far.
        rungs: Trials since the search, the current batch not counted.
    """
    if analysis.max_batch_size is None:
        return None
    if _current_is_open(analysis):
        return analysis.options.current_batch_size
    if rungs >= MAX_RUNGS:
        return None
    within = _within_headroom(analysis)
    if within is not None or not _wants_throughput(analysis):
        return within
    tried = {trial.batch_size for trial in analysis.trials}
    halves = (_on_grid(analysis, analysis.max_batch_size // share) for share in _SHARES)
    open_ = [n for n in halves if n and not _is_near(n, tried)]
    if analysis.target.source is Source.SIMULATED:
        open_ = [n for n in sorted(open_) if _may_be_optimal(analysis, n)]
    return next(iter(open_), None)


def _current_is_open(analysis: Analysis) -> bool:
    """Whether the current batch has no trial, may fit, and is within the user's bounds."""
    batch_size = analysis.options.current_batch_size
    mark = mark_at(analysis.trials, batch_size)
    if mark.trial is not None or mark.fits is False or batch_size > analysis.options.upper_bound:
        return False
    failed = any(trial.outcome is Outcome.OOM for trial in analysis.trials)
    return batch_size <= analysis.max_batch_size or failed


def _wants_throughput(analysis: Analysis) -> bool:
    timed = any(trial.samples_per_second for trial in analysis.trials)
    spent = sum(trial.elapsed_seconds or 0.0 for trial in analysis.trials)
    if spent > PATIENCE_SECONDS:
        return False
    return timed and analysis.options.objective is Objective.THROUGHPUT


def _may_be_optimal(analysis: Analysis, batch_size: int) -> bool:
    """Whether a batch may become the optimal one of a simulated GPU, as far as trials tell.

    Each operation's estimated seconds are the longer of computing and moving, and both are
    straight lines over the batch. So throughput never falls as the batch grows: a batch above
    the optimal one is not of interest. And a line through two larger batches, followed down,
    gives at most the seconds that a smaller one takes.
    """
    optimal = optimal_mark(analysis, analysis.options)
    if optimal.batch_size is None or batch_size > optimal.batch_size:
        return False
    fitting = fitting_trials(analysis.trials, analysis.max_batch_size)
    timed = [trial for trial in fitting if trial.step_seconds]
    limit = memory_limit(analysis.capacity_bytes, analysis.options.headroom)
    within = [trial.samples_per_second for trial in timed if is_within(trial, limit)]
    larger = [trial for trial in timed if trial.batch_size > batch_size][:2]
    if len(larger) < 2 or not within:
        return True
    near, far = larger
    each = (far.step_seconds - near.step_seconds) / (far.batch_size - near.batch_size)
    seconds = near.step_seconds - each * (near.batch_size - batch_size)
    samples = batch_size * near.config.gradient_accumulation
    return seconds <= 0 or samples / seconds >= GOOD_ENOUGH * max(within)


def _within_headroom(analysis: Analysis) -> int | None:
    """Return the untried batch where memory is expected to reach the limit of the headroom."""
    limit = memory_limit(analysis.capacity_bytes, analysis.options.headroom)
    fitting = fitting_trials(analysis.trials, analysis.max_batch_size)
    beyond = next((trial for trial in fitting if not is_within(trial, limit)), None)
    if beyond is None:
        return None
    below = [trial for trial in fitting if trial.batch_size < beyond.batch_size]
    expected = _reaching(below[-1], beyond, limit) if below else beyond.batch_size // 2
    batch_size = _on_grid(analysis, expected)
    tried = {trial.batch_size for trial in analysis.trials}
    return None if batch_size < 1 or batch_size in tried else batch_size


def _reaching(below: Trial, beyond: Trial, limit_bytes: int) -> int:
    samples = beyond.batch_size - below.batch_size
    held = beyond.most_memory_bytes - below.most_memory_bytes
    return below.batch_size + (limit_bytes - below.most_memory_bytes) * samples // held


def _on_grid(analysis: Analysis, batch_size: int) -> int:
    step = analysis.search_granularity or 1
    return batch_size // step * step if batch_size >= step else batch_size


def _is_near(batch_size: int, tried: set[int]) -> bool:
    return any(abs(other - batch_size) <= _NEAR * batch_size for other in tried)
