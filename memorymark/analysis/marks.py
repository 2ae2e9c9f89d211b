"""The three marks and all that follows from them, worked out from trials that exist.

Nothing here runs a trial, so a slider may call it as often as it likes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from memorymark.analysis.accumulation import priced
from memorymark.analysis.candidates import (
    Bracket,
    candidates,
    fitting_trials,
    good_enough,
    headroom_bracket,
    is_within,
    knee_bracket,
)
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions, Objective
from memorymark.records.costs import savings
from memorymark.records.mark import Mark
from memorymark.records.trial import Outcome, Source, Stage, Trial
from memorymark.units import short_percent


def with_options(analysis: Analysis, *, supplied: Trial | None = None, **changes: Any) -> Analysis:
    """Work out the marks and costs for other options, from the trials that exist.

    Args:
        analysis: The analysis whose trials are used.
        supplied: A trial of the current batch from elsewhere, such as a simulation; used where
            the trials of the analysis say nothing of that batch, and in place of figures that
            would be interpolated between simulated ones.
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
    return priced(dataclasses.replace(marked, costs=costs, remarks=tuple(_remarks(marked))))


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


def open_bracket(analysis: Analysis, options: AnalysisOptions) -> Bracket | None:
    """Return between which batches the optimal one may still lie; None where it is exact."""
    brackets = headroom_bracket(analysis, options), knee_bracket(analysis, options)
    return next((found for found in brackets if found and not found.is_closed), None)


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


def _remarks(analysis: Analysis) -> Iterable[str]:
    if analysis.max_batch_size is None:
        return
    yield from _remarks_on_current(analysis)
    yield from _remarks_on_optimal(analysis)
    yield from _remarks_on_data_set(analysis)


def _remarks_on_current(analysis: Analysis) -> Iterable[str]:
    current, largest = analysis.current, analysis.max_batch_size
    if current.fits is False:
        yield f"Batch {current.batch_size} does not fit: the largest that does is {largest}."
    elif current.memory_bytes is None:
        yield (
            f"Batch {current.batch_size} is outside of the range tried: its memory and throughput "
            "are unknown."
        )
    elif current.trial is not None and current.trial.source is not analysis.target.source:
        yield (
            f"Batch {current.batch_size} was not {analysis.target.source}: its memory is "
            f"{current.trial.source}; its throughput and the speed-up are unknown."
        )
    if analysis.current_is_tight:
        free = short_percent(analysis.current_free_share)
        yield (
            f"Batch {current.batch_size} leaves {free} of the memory free: a longer sample, or "
            "another program on the GPU, can run it out of memory."
        )


def _remarks_on_optimal(analysis: Analysis) -> Iterable[str]:
    options, optimal = analysis.options, analysis.optimal
    limit = options.memory_limit(analysis.capacity_bytes)
    if optimal.trial is not None and not is_within(optimal.trial, limit):
        yield (
            f"No batch that was tried leaves {short_percent(options.headroom)} of the memory free: "
            "the recommended batch is the smallest of them."
        )
    elif optimal.samples_per_second is None:
        yield (
            "No throughput is known: the recommended batch is the largest that leaves "
            f"{short_percent(options.headroom)} of the memory free; what it gains is unknown."
        )
    if analysis.complete and analysis.target.source is Source.SIMULATED:
        yield from _remarks_on_untried(analysis)


def _remarks_on_data_set(analysis: Analysis) -> Iterable[str]:
    """Say which batches are larger than the data set, so that no step can ever see them."""
    options = analysis.options
    batches = {
        "current batch": options.current_batch_size,
        "recommended batch": analysis.optimal.batch_size,
        "effective batch": options.effective_batch_size,
    }
    for name, size in batches.items():
        if options.dataset_size is not None and (size or 0) > options.dataset_size:
            yield (
                f"The {name}, {size:,}, is larger than the data set of {options.dataset_size:,} "
                "samples: one step would see all of it, and figures of the larger batch are of no "
                "step that can be run."
            )


def _remarks_on_untried(analysis: Analysis) -> Iterable[str]:
    """Say where trials that could be had for these options are missing."""
    bracket = open_bracket(analysis, analysis.options)
    if bracket is None:
        return
    between = " to ".join(str(batch) for batch in dict.fromkeys(bracket.batches_between))
    yield (
        f"Not tried for these settings: batch {between}. The recommended batch may lie there; "
        "analyze again to know."
    )
