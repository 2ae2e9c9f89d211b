"""What follows from the trials for the user's own options, in sentences."""

from __future__ import annotations

from collections.abc import Iterable

from memorymark.analysis.candidates import is_within, open_bracket
from memorymark.records.analysis import Analysis
from memorymark.records.trial import Source
from memorymark.units import percent


def remarks(analysis: Analysis, *, awaited: bool = False) -> Iterable[str]:
    """Say what follows from the trials for the user's own options, one sentence each.

    Args:
        analysis: The analysis, with its marks.
        awaited: Whether a trial of the current batch is on its way.
    """
    if analysis.max_batch_size is None:
        return
    yield from _remarks_on_current(analysis, awaited)
    yield from _remarks_on_optimal(analysis)
    yield from _remarks_on_data_set(analysis)


def _remarks_on_current(analysis: Analysis, awaited: bool) -> Iterable[str]:
    current = analysis.current
    if current.fits is False:
        yield f"Batch {current.batch_size:,} does not fit: {_what_does(analysis)}."
    elif current.memory_bytes is None and not awaited:
        yield (
            f"Batch {current.batch_size:,} is outside of the range tried: its memory and "
            "throughput are unknown."
        )
    elif current.trial is not None and current.trial.source is not analysis.target.source:
        yield (
            f"Batch {current.batch_size:,} was not {analysis.target.source}: its memory is "
            f"{current.trial.source}; its throughput and the speed-up are unknown."
        )
    yield from _remarks_between_steps(analysis)
    if analysis.current_is_tight:
        free = percent(analysis.current_free_share)
        yield (
            f"Batch {current.batch_size:,} leaves {free} of the memory free: a longer sample, or "
            "another program on the GPU, can run it out of memory."
        )


def _what_does(analysis: Analysis) -> str:
    """Say of the max batch no more than is known: on which grid it is the largest, if it is."""
    largest, step = analysis.max_batch_size, analysis.max_step
    if analysis.max_is_lower_bound:
        return f"the largest that is known to fit is {largest:,}"
    multiple = "" if step is None else f" multiple of {step:,}"
    return f"the largest{multiple} that does is {largest:,}"


def _remarks_between_steps(analysis: Analysis) -> Iterable[str]:
    """Name a current batch that fits though it is larger than the largest of the grid."""
    batch, largest, step = analysis.current.batch_size, analysis.max_batch_size, analysis.max_step
    if not analysis.current.fits or batch is None or largest is None or step is None:
        return
    if largest < batch < largest + step:
        yield f"Batch {batch:,} fits too; {largest:,} is the largest multiple of {step:,}."


def _remarks_on_optimal(analysis: Analysis) -> Iterable[str]:
    options, optimal = analysis.options, analysis.optimal
    limit = options.memory_limit(analysis.capacity_bytes)
    if optimal.trial is not None and not is_within(optimal.trial, limit):
        yield (
            f"No batch that was tried leaves {percent(options.headroom)} of the memory free: "
            "the recommended batch is the smallest of them."
        )
    elif optimal.samples_per_second is None:
        yield (
            "No throughput is known: the recommended batch is the largest that leaves "
            f"{percent(options.headroom)} of the memory free; what it gains is unknown."
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
    between = " to ".join(f"{batch:,}" for batch in dict.fromkeys(bracket.batches_between))
    yield (
        f"Not tried for these settings: batch {between}. The recommended batch may lie there; "
        "analyze again to know."
    )
