"""Simulates few of a step's micro-batches where the others repeat them.

With gradient accumulation a step runs the same forward and backward pass again and again. From
the second on, each finds what the one before it left: it allocates and releases the same. So a
few of them have the memory of any number, and the time of the last one is that of all the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from memorymark.memory.trace import FORWARD, OPTIMIZER, STEP, Trace
from memorymark.records.config import TrainingConfig
from memorymark.simulator.time.clock import Work
from memorymark.workloads.build import is_own
from memorymark.workloads.trial_spec import TrialSpec

# Steps of so many micro-batches are simulated in full.
MOST_MICRO_BATCHES = 8

Marks = Sequence[tuple[str, int]]


def with_few_micro_batches(spec: TrialSpec) -> TrialSpec:
    """Return what is simulated in the place of a trial: itself, or one of fewer micro-batches.

    Own code may do something else in each of them, and a loop that loads the batches of all of
    them ahead takes more memory with every one.
    """
    count = min(spec.config.gradient_accumulation, MOST_MICRO_BATCHES)
    if is_own(spec.workload) or spec.config.loop.loads_ahead:
        return spec
    few = dataclasses.replace(spec.config, gradient_accumulation=count)
    return dataclasses.replace(spec, config=few)


def are_alike(trace: Trace) -> bool:
    """Return whether the last two micro-batches of a trace allocate and release the same."""
    (_, first), (_, second), (_, end) = _last_two(trace.marks)
    before, last = trace.events[first:second], trace.events[second:end]
    starts = [next((i for i, size in part if size > 0), 0) for part in (before, last)]
    distance = starts[1] - starts[0]
    # What one takes of the other's is counted from it; what is older is the same block for both.
    older = starts[0] - distance

    def seen_from(start: int, part: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(i - start if i >= start - distance else i + distance, size) for i, size in part]

    return older >= 0 and seen_from(starts[0], before) == seen_from(starts[1], last)


def with_all_works(works: list[Work], marks: Marks, more: int) -> list[Work]:
    """Return a step's works with those of the last micro-batch so many times more."""
    _, (_, start), (_, end) = _last_two(marks)
    repeated = [work._replace(times=work.times + more) for work in works[start:end]]
    return [*works[:start], *repeated, *works[end:]]


def told_of(few: TrainingConfig, config: TrainingConfig) -> str:
    """Return the assumption that goes with a result of few micro-batches."""
    return (
        f"{few.gradient_accumulation} of the step's {config.gradient_accumulation:,} micro-batches "
        "were simulated; each of the others takes the memory and the time of the last one."
    )


def _last_two(marks: Marks) -> tuple[tuple[str, int], tuple[str, int], tuple[str, int]]:
    """Return where the last two micro-batches begin, and where the last one ends."""
    begins = max((n for n, (phase, _) in enumerate(marks) if phase == STEP), default=0)
    in_step = marks[begins:]
    forward = [mark for mark in in_step if mark[0] == FORWARD]
    end = next(mark for mark in in_step if mark[0] == OPTIMIZER)
    return forward[-2], forward[-1], end
