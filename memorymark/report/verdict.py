"""What an analysis found, in plain sentences: what fits, what to run, what it gains."""

from __future__ import annotations

from collections.abc import Iterable

from memorymark.records.analysis import Analysis
from memorymark.records.trial import Target
from memorymark.units import UNKNOWN, likely_usd, mib_or_gib, percent, usd

_CENT = 0.01


def verdict(analysis: Analysis) -> str:
    """Say in a few sentences what the analysis found, the largest batch first.

    Example: "Largest batch that fits: 496, in steps of 8. Recommended: 88. At batch 16, 93 % of the
    memory is idle. Batch 88 is 2.1 times as fast."
    """
    if analysis.optimal.batch_size is None:
        return _without_result(analysis)
    sentences = [_largest(analysis), f"Recommended: {analysis.optimal.batch_size:,}."]
    sentences += [*_about_current(analysis), *_about_gain(analysis)]
    if not analysis.complete:
        sentences.append(f"Stopped early: {analysis.stopped_by}")
    return " ".join(sentences)


def does_not_fit(batch_size: int, needed_bytes: int | None, target: Target) -> str:
    """Say that a batch does not fit, with what it needs where that is known.

    Example: "Does not fit: batch 1 needs 12.40 GiB; this GPU has 7.25 GiB."
    """
    capacity = target.capacity_bytes
    if capacity is None:
        return f"Does not fit: batch {batch_size:,} runs out of memory."
    has_budget, amount = target.budget_bytes is not None, mib_or_gib(capacity)
    if needed_bytes is None or needed_bytes <= capacity:
        there = f"memory budget of {amount}" if has_budget else f"{amount} of this GPU"
        return f"Does not fit: batch {batch_size:,} needs more than the {there}."
    there = "the memory budget is" if has_budget else "this GPU has"
    needed = mib_or_gib(needed_bytes)
    return f"Does not fit: batch {batch_size:,} needs {needed}; {there} {amount}."


def largest_words(analysis: Analysis) -> str:
    """Write the largest batch that fits; "at least" where no larger one was seen to fail."""
    if analysis.max_batch_size is None:
        return "unknown"
    bound = "at least " if analysis.max_is_lower_bound else ""
    return f"{bound}{analysis.max_batch_size:,}"


def step_words(analysis: Analysis) -> str:
    """Say on which grid the max batch is the largest, where there is one.

    Example: "in steps of 8".
    """
    return "" if analysis.max_step is None else f"in steps of {analysis.max_step:,}"


def speedup_words(analysis: Analysis) -> str:
    """Write the speed-up; "none" where it cannot be told from nothing."""
    if analysis.speedup is None:
        return UNKNOWN
    return "none" if analysis.gain_is_clear is False else f"{analysis.speedup:.2f} x"


def change_in_speed(speedup: float) -> str:
    """Say how a throughput compares with another.

    Example:
        >>> change_in_speed(1.34), change_in_speed(2.5), change_in_speed(0.9)
        ('34 % faster', '2.5 times as fast', '10 % slower')
    """
    change = round((speedup - 1) * 100)
    if speedup >= 2:
        return f"{speedup:,.1f} times as fast"
    if change == 0:
        return "as fast"
    return f"{change} % faster" if change > 0 else f"{-change} % slower"


def _largest(analysis: Analysis) -> str:
    steps = f", {step_words(analysis)}" if analysis.max_step else ""
    return f"Largest batch that fits: {largest_words(analysis)}{steps}."


def _without_result(analysis: Analysis) -> str:
    if not analysis.complete:
        return f"No batch size found. {analysis.stopped_by}"
    smallest = min(analysis.trials, key=lambda trial: trial.batch_size, default=None)
    if smallest is None:
        return does_not_fit(1, None, analysis.target)
    return does_not_fit(smallest.batch_size, smallest.memory_bytes, analysis.target)


def _about_current(analysis: Analysis) -> Iterable[str]:
    current, idle = analysis.current, analysis.waste_share
    if current.batch_size is None:
        return
    if current.fits is False:
        yield f"Batch {current.batch_size:,} does not fit."
    elif analysis.current_is_tight:
        free = percent(analysis.current_free_share)
        yield f"Batch {current.batch_size:,} leaves only {free} of the memory free."
    elif idle is not None:
        yield f"At batch {current.batch_size:,}, {idle * 100:.0f} % of the memory is idle."


def _about_gain(analysis: Analysis) -> Iterable[str]:
    """Say what moving from the current batch to the recommended one brings."""
    current, best = analysis.current, analysis.optimal
    if current.batch_size == best.batch_size:
        yield "You already train with the recommended batch."
    elif analysis.already_fine:
        yield "You are already fine: no batch is clearly faster."
    elif analysis.gain_is_clear is False:
        yield f"Batch {best.batch_size:,} is about as fast."
    elif analysis.speedup is not None:
        change = change_in_speed(analysis.speedup)
        yield f"Batch {best.batch_size:,} is {change}{_saving(analysis)}."


def _saving(analysis: Analysis) -> str:
    saved = analysis.costs.usd_per_run
    if saved is None or abs(saved) < _CENT / 2:
        return ""
    likely = likely_usd(analysis.likely_saving(abs(saved)))
    return (
        f" and {'saves' if saved > 0 else 'costs'} {usd(abs(saved))}{_more(saved)} per run{likely}"
    )


def _more(saved: float) -> str:
    return "" if saved > 0 else " more"
