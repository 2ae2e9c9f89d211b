"""Chooses the batch sizes to try below the max batch size: within the headroom, and at the knee.

On a simulated GPU, where a trial is cheap, both are tried until nothing on the grid lies between:
what is recommended is the smallest batch on the grid that reaches 98 % of the best throughput
within the headroom, and the next smaller one was tried and does not. Throughput does not fall as a
simulated batch grows, since each operation's seconds are the longer of computing and moving, and
both are straight lines over the batch. Where it does all the same, as where another kernel begins,
the answer is the smallest of the batches tried that reaches it.

How long that takes changes nothing: a machine that is busy with other work has the same answer.

On a device a trial costs time: only where the answers are expected, and not on for too long.
"""

from __future__ import annotations

from memorymark.analysis.candidates import headroom_bracket, knee_bracket
from memorymark.analysis.marks import mark_at
from memorymark.records.analysis import Analysis
from memorymark.records.trial import Outcome, Source

MAX_RUNGS = 3
"""Trials beside the current batch that a ladder on a device takes at most: each costs real time."""

PATIENCE_SECONDS = 60.0
"""Once trials on a device have taken this long, the knee is not looked for any further."""

# On a simulated GPU, so many go where the answer is expected; from then on brackets are halved.
_GUIDED_RUNGS = 8
# On a device a bracket that is no wider than this share of its upper end is not worth a trial.
_NEAR = 0.1


def next_rung(analysis: Analysis, rungs: int) -> int | None:
    """Choose the next batch to run, None where enough is known.

    First the current batch; then where the largest batch within the headroom lies; then where the
    knee lies.

    Args:
        analysis: What is known so far.
        rungs: Trials since the search, the current batch not counted.
    """
    if analysis.max_batch_size is None:
        return None
    if _current_is_open(analysis):
        return analysis.options.current_batch_size
    if analysis.target.source is Source.SIMULATED:
        return _until_exact(analysis, rungs)
    return None if rungs >= MAX_RUNGS else _where_expected(analysis)


def _current_is_open(analysis: Analysis) -> bool:
    """Whether the current batch has no trial, may fit, and is within the user's bounds."""
    batch_size = analysis.options.current_batch_size
    mark = mark_at(analysis.trials, batch_size)
    if mark.trial is not None or mark.fits is False or batch_size > analysis.options.upper_bound:
        return False
    failed = any(trial.outcome is Outcome.OOM for trial in analysis.trials)
    return batch_size <= analysis.max_batch_size or failed


def _until_exact(analysis: Analysis, rungs: int) -> int | None:
    """Go on until both answers are exact on the grid, halving where guesses lead nowhere."""
    halve = rungs >= _GUIDED_RUNGS
    headroom = headroom_bracket(analysis, analysis.options)
    batch_size = headroom.next_batch(halve=halve) if headroom else None
    if batch_size is not None:
        return batch_size
    knee = knee_bracket(analysis, analysis.options)
    return knee.next_batch(halve=halve) if knee else None


def _where_expected(analysis: Analysis) -> int | None:
    """Try only where an answer is expected, and nothing next to it."""
    tried = {trial.batch_size for trial in analysis.trials}
    headroom = headroom_bracket(analysis, analysis.options)
    if headroom is not None:
        batch_size = headroom.expected_batch
        if batch_size is not None and batch_size not in tried:
            return batch_size
    knee = None if _is_slow(analysis) else knee_bracket(analysis, analysis.options)
    if knee is None or knee.is_narrow(_NEAR):
        return None
    return knee.next_batch()


def _is_slow(analysis: Analysis) -> bool:
    return sum(trial.elapsed_seconds or 0.0 for trial in analysis.trials) > PATIENCE_SECONDS
