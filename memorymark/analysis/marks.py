"""The three marks and all that follows from them, worked out from trials that exist.

Nothing here runs a trial, so a slider may call it as often as it likes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from memorymark.records.analysis import Analysis, Mark
from memorymark.records.analysis_options import AnalysisOptions, Objective
from memorymark.records.costs import savings
from memorymark.records.trial import Outcome, Stage, Trial
from memorymark.units import percent

GOOD_ENOUGH = 0.98
"""Share of the best throughput that the optimal batch has to reach."""


def with_options(analysis: Analysis, *, supplied: Trial | None = None, **changes: Any) -> Analysis:
    """Work out the marks and costs for other options, from the trials that exist.

    Args:
        analysis: The analysis whose trials are used.
        supplied: A trial of the current batch from elsewhere, such as a simulation; used where
            the trials of the analysis say nothing of that batch.
        **changes: Fields of AnalysisOptions with their new values.

    Raises:
        InvalidValue: A number is out of range.
        UnknownChoice: The objective is none of the known ones.
    """
    options = dataclasses.replace(analysis.options, **changes)
    current = mark_at(analysis.trials, options.current_batch_size)
    fitting = supplied is not None and supplied.batch_size == options.current_batch_size
    if fitting and current.trial is None and not current.interpolated:
        current = _supplied_mark(supplied, analysis)
    optimal = optimal_mark(analysis, options)
    largest = Mark()
    if analysis.max_batch_size is not None:
        largest = mark_at(analysis.trials, analysis.max_batch_size)
    marked = dataclasses.replace(
        analysis,
        options=options,
        current=current,
        optimal=optimal,
        max=largest,
        costs=savings(options.plan, current.samples_per_second, optimal.samples_per_second),
    )
    return dataclasses.replace(marked, remarks=tuple(_remarks(marked)))


def mark_at(trials: Sequence[Trial], batch_size: int) -> Mark:
    """Say what trials show of a batch size.

    Between two trials that fit, memory and seconds per step are interpolated; outside of them
    both are unknown.
    """
    steps = [trial for trial in trials if trial.stage is Stage.STEP]
    exact = next((trial for trial in steps if trial.batch_size == batch_size), None)
    if exact is not None:
        return _mark_of(exact)
    below, above = _neighbours(steps, batch_size)
    if below is None or above is None:
        return Mark(batch_size, fits=_known_to_fit(steps, batch_size))
    share = (batch_size - below.batch_size) / (above.batch_size - below.batch_size)
    memory = _between(below.memory_bytes, above.memory_bytes, share)
    seconds = _between(below.step_seconds, above.step_seconds, share)
    samples = batch_size * below.config.gradient_accumulation
    return Mark(
        batch_size,
        memory_bytes=None if memory is None else round(memory),
        samples_per_second=samples / seconds if seconds else None,
        interpolated=True,
        fits=True,
    )


def optimal_mark(analysis: Analysis, options: AnalysisOptions) -> Mark:
    """Choose the batch to run.

    The smallest batch that reaches 98 % of the best throughput seen within the headroom; where
    no throughput is known, or memory is the objective, the largest batch within the headroom.
    Where no batch leaves the headroom free, the smallest one that fits.
    """
    fitting = fitting_trials(analysis.trials, analysis.max_batch_size)
    if not fitting:
        return Mark()
    limit = memory_limit(analysis.capacity_bytes, options.headroom)
    within = [trial for trial in fitting if is_within(trial, limit)] or fitting[:1]
    timed = [trial for trial in within if trial.samples_per_second]
    if options.objective is Objective.MEMORY or not timed:
        return _mark_of(within[-1])
    best = max(trial.samples_per_second for trial in timed)
    return _mark_of(next(t for t in timed if t.samples_per_second >= GOOD_ENOUGH * best))


def fitting_trials(trials: Iterable[Trial], max_batch_size: int | None) -> list[Trial]:
    """Return the whole steps that fit, up to the max batch, smallest first."""
    if max_batch_size is None:
        return []
    steps = [trial for trial in trials if trial.stage is Stage.STEP and trial.fits]
    kept = [trial for trial in steps if trial.batch_size <= max_batch_size]
    return sorted(kept, key=lambda trial: trial.batch_size)


def memory_limit(capacity_bytes: int | None, headroom: float) -> int | None:
    """Return the bytes that leave the headroom free."""
    return None if capacity_bytes is None else int(capacity_bytes * (1 - headroom))


def is_within(trial: Trial, limit_bytes: int | None) -> bool:
    """Say whether a trial leaves the headroom free; True where that cannot be known.

    Of a range, the higher end has to: optional workspaces give way to the step's own tensors, but
    not to what else runs on the device, for which the headroom is there.
    """
    most = trial.most_memory_bytes
    return limit_bytes is None or most is None or most <= limit_bytes


def _mark_of(trial: Trial) -> Mark:
    known = trial if trial.fits else None
    return Mark(
        trial.batch_size,
        trial,
        known.memory_bytes if known else None,
        known.samples_per_second if known else None,
        fits=None if trial.outcome is Outcome.ERROR else trial.fits,
    )


def _supplied_mark(supplied: Trial, analysis: Analysis) -> Mark:
    """Make a mark of a trial from elsewhere.

    Simulated seconds beside measured ones would make a speed-up that is neither.
    """
    mark = _mark_of(supplied)
    same = supplied.source is analysis.target.source
    return mark if same else dataclasses.replace(mark, samples_per_second=None)


def _neighbours(trials: Sequence[Trial], batch_size: int) -> tuple[Trial | None, Trial | None]:
    fitting = [trial for trial in trials if trial.fits]
    below = [trial for trial in fitting if trial.batch_size < batch_size]
    above = [trial for trial in fitting if trial.batch_size > batch_size]
    return (
        max(below, key=lambda trial: trial.batch_size, default=None),
        min(above, key=lambda trial: trial.batch_size, default=None),
    )


def _known_to_fit(trials: Sequence[Trial], batch_size: int) -> bool | None:
    if any(trial.fits and trial.batch_size > batch_size for trial in trials):
        return True
    oom = [trial for trial in trials if trial.outcome is Outcome.OOM]
    return False if any(trial.batch_size < batch_size for trial in oom) else None


def _between(below: float | None, above: float | None, share: float) -> float | None:
    return None if below is None or above is None else below + (above - below) * share


def _remarks(analysis: Analysis) -> Iterable[str]:
    current, largest = analysis.current, analysis.max_batch_size
    if largest is None:
        return
    if current.fits is False:
        yield (
            f"The current batch size {current.batch_size} does not fit; "
            f"the max batch size is {largest}."
        )
    elif current.memory_bytes is None:
        yield (
            f"The current batch size {current.batch_size} is outside the range tried: "
            "its memory and throughput are unknown."
        )
    elif current.trial is not None and current.trial.source is not analysis.target.source:
        yield (
            f"The current batch size {current.batch_size} was not {analysis.target.source}: its "
            f"memory is {current.trial.source}; its throughput and the speed-up are unknown."
        )
    yield from _remarks_on_optimal(analysis)


def _remarks_on_optimal(analysis: Analysis) -> Iterable[str]:
    options, optimal = analysis.options, analysis.optimal
    limit = memory_limit(analysis.capacity_bytes, options.headroom)
    if optimal.trial is not None and not is_within(optimal.trial, limit):
        yield (
            f"No batch size tried leaves {percent(options.headroom)} of the memory free; "
            "the optimal batch size is the smallest one tried."
        )
    elif optimal.samples_per_second is None:
        yield (
            "No throughput is known: the optimal batch size is the largest within the headroom; "
            "its speed-up and savings are unknown."
        )
