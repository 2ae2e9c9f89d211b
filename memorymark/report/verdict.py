"""What an analysis found, in plain sentences: what fits, what to run, what it gains."""

from __future__ import annotations

from collections.abc import Iterable

from memorymark.records.analysis import Analysis
from memorymark.records.trial import Outcome, Target
from memorymark.units import mib_or_gib, usd

_CENT = 0.01
_SAME = 0.02  # recommended is what reaches 98 % of the best: less than the rest is no gain


def verdict(analysis: Analysis) -> str:
    """Say in a few sentences what the analysis found, the largest batch first.

    Example: "Largest batch that fits: 496. Recommended: 88. At batch 16, 93 % of the memory is
    idle. Batch 88 is 2.1 times as fast."
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
    largest = analysis.max_batch_size
    if largest is None:
        return "unknown"
    step = analysis.search_granularity or 1
    is_exact = any(
        trial.outcome is Outcome.OOM and largest < trial.batch_size <= largest + step
        for trial in analysis.trials
    )
    return f"{largest:,}" if is_exact else f"at least {largest:,}"


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
    return f"Largest batch that fits: {largest_words(analysis)}."


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
    elif idle is not None and idle < analysis.options.headroom:
        yield f"Batch {current.batch_size:,} leaves only {_whole_percent(idle)} of the memory free."
    elif idle is not None:
        yield f"At batch {current.batch_size:,}, {_whole_percent(idle)} of the memory is idle."


def _about_gain(analysis: Analysis) -> Iterable[str]:
    """Say what moving from the current batch to the recommended one brings."""
    current, best = analysis.current, analysis.optimal
    if current.batch_size == best.batch_size:
        yield "You already train with the recommended batch."
    elif analysis.speedup is not None and abs(analysis.speedup - 1) <= _SAME:
        yield f"{_tight(analysis)}no batch is noticeably faster."
    elif analysis.speedup is not None:
        change = change_in_speed(analysis.speedup)
        yield f"Batch {best.batch_size:,} is {change}{_saving(analysis)}."


def _tight(analysis: Analysis) -> str:
    """Begin the sentence on a current batch that is fast enough; it may leave too little free."""
    idle, batch = analysis.waste_share, analysis.current.batch_size
    if idle is not None and idle < analysis.options.headroom:
        return "It is as fast as the recommended one: "
    return f"Batch {batch:,} is already fine: "


def _saving(analysis: Analysis) -> str:
    saved = analysis.costs.usd_per_run
    if saved is None or abs(saved) < _CENT / 2:
        return ""
    return f" and {'saves' if saved > 0 else 'costs'} {usd(abs(saved))}{_more(saved)} per run"


def _more(saved: float) -> str:
    return "" if saved > 0 else " more"


def _whole_percent(share: float) -> str:
    return f"{share * 100:.0f} %"
