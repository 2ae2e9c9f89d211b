"""The three marks and all that follows from them, worked out from trials that exist.

Nothing here runs a trial, so a slider may call it as often as it likes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from memorymark.analysis.accumulation import priced
from memorymark.analysis.candidates import (
    candidates,
    fitting_trials,
    good_enough,
    open_bracket,
)
from memorymark.analysis.remarks import remarks
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions, Objective
from memorymark.records.costs import savings
from memorymark.records.mark import Mark
from memorymark.records.trial import Outcome, Source, Stage, Trial


def with_options(
    analysis: Analysis, *, supplied: Trial | None = None, awaited: bool = False, **changes: Any
) -> Analysis:
    """Work out the marks and costs for other options, from the trials that exist.

    Args:
        analysis: The analysis whose trials are used.
        supplied: A trial of the current batch from elsewhere, such as a simulation; used where
            the trials of the analysis say nothing of that batch, and in place of figures that
            would be interpolated between simulated ones.
        awaited: Whether such a trial is on its way: nothing is remarked on what it will tell.
        **changes: Fields of AnalysisOptions with their new values.

    Raises:
        InvalidValue: A number is out of range.
        UnknownChoice: The objective is none of the known ones.
    """
    options = dataclasses.replace(analysis.options, **changes)
    current = mark_at(analysis.trials, options.current_batch_size)
    if supplied is not None and _says_more(supplied, current, analysis):
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
        optimal_is_exact=_is_exact(analysis, options),
    )
    costs = savings(
        options.plan,
        current.samples_per_second,
        optimal.samples_per_second,
        is_clear=marked.gain_is_clear is not False,
    )
    said = tuple(remarks(marked, awaited=awaited))
    return priced(dataclasses.replace(marked, costs=costs, remarks=said))


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
    samples = batch_size * below.config.gradient_accumulation

    def rate_of(name: str) -> float | None:
        seconds = _between(getattr(below, name), getattr(above, name), share)
        return samples / seconds if seconds else None

    return Mark(
        batch_size,
        memory_bytes=None if memory is None else round(memory),
        samples_per_second=rate_of("step_seconds"),
        interpolated=True,
        fits=True,
        samples_per_second_low=rate_of("step_seconds_high"),
        samples_per_second_high=rate_of("step_seconds_low"),
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
    within = candidates(analysis, options) or fitting[:1]
    enough, _ = good_enough(within)
    if options.objective is Objective.MEMORY or not enough:
        return _mark_of(within[-1])
    return _mark_of(enough[0])


def _is_exact(analysis: Analysis, options: AnalysisOptions) -> bool | None:
    """Say whether the optimal batch is exact on the grid; None where there is none."""
    if not fitting_trials(analysis.trials, analysis.max_batch_size):
        return None
    return analysis.complete and open_bracket(analysis, options) is None


def _mark_of(trial: Trial) -> Mark:
    known = trial if trial.fits else None
    return Mark(
        trial.batch_size,
        trial,
        known.memory_bytes if known else None,
        known.samples_per_second if known else None,
        fits=None if trial.outcome is Outcome.ERROR else trial.fits,
    )


def _says_more(supplied: Trial, current: Mark, analysis: Analysis) -> bool:
    """Say whether a trial from elsewhere is to take the place of what the trials say of a batch.

    Interpolated figures of a device are nearer to it than those of a simulation.
    """
    if current.trial is not None or supplied.batch_size != current.batch_size:
        return False
    if not current.interpolated:
        return True
    both = {supplied.source, analysis.target.source}
    return both == {Source.SIMULATED} and supplied.outcome is not Outcome.ERROR


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
