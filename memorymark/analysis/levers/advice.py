"""What makes room where a batch does not fit: the levers alone, as an analysis lists them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from memorymark.analysis.levers.known_levers import LEVERS
from memorymark.analysis.levers.trying import Attempts, needed_bytes
from memorymark.records.config import TrainingConfig
from memorymark.records.mark import Advice

LAST = Advice("Use a GPU with more memory, or a smaller model.", {})


def possible_changes(config: TrainingConfig) -> tuple[Advice, ...]:
    """List the levers of a config that may take less memory, in words."""
    found = []
    for lever in LEVERS:
        changes = lever.changes(config, batch_size=1)
        if changes and lever.saves_memory:
            found.append(Advice(f"{lever.name}.", dict(changes)))
    return (*found, LAST)


def with_gains(
    attempts: Attempts, before_bytes: int | None, changes: Iterable[Advice]
) -> tuple[Advice, ...]:
    """Try each change and say what it saves, the largest saving first.

    A change that saves nothing is left out; one that cannot be tried keeps its words and has no
    figures.

    Args:
        attempts: Tries changes at the batch that does not fit.
        before_bytes: What the unchanged config needs there; None where unknown.
        changes: The changes to try.
    """
    tried = [_tried(attempts, before_bytes, change) for change in changes]
    useful = [each for each in tried if each.saved_bytes is None or each.saved_bytes > 0]
    return tuple(sorted(useful, key=_place))


def _place(advice: Advice) -> tuple[bool, int]:
    return not advice.change, -(advice.saved_bytes or 0)


def _tried(attempts: Attempts, before_bytes: int | None, advice: Advice) -> Advice:
    if not advice.change:
        return advice
    tried = attempts.try_changes(advice.change)
    if isinstance(tried, str):
        return advice
    after = needed_bytes(tried.trial)
    return dataclasses.replace(
        advice,
        batch_size=attempts.batch_size,
        memory_bytes=after,
        saved_bytes=None if before_bytes is None or after is None else before_bytes - after,
        fits=tried.fits,
    )
