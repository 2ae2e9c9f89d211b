"""Simulates few of a step's micro-batches where the others repeat them.

With gradient accumulation a step runs the same forward and backward pass again and again. From
the second on, each finds what the one before it left: it allocates and releases the same. So the
others are copies of the last one in the trace, since what the allocator has cached at the end
depends on how many there were; and the time of the last one is that of all the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from memorymark.memory.trace import FORWARD, OPTIMIZER, STEP, Trace
from memorymark.records.config import TrainingConfig
from memorymark.simulator.cuda.convolutions import ConvolutionKernel
from memorymark.simulator.time.kernels import Work
from memorymark.workloads.build import is_own
from memorymark.workloads.trial_spec import TrialSpec

# Steps of so many micro-batches are simulated in full.
MOST_MICRO_BATCHES = 8
# Events that copies may add to a step: beyond it, the trace would take more memory than it tells.
_MOST_EVENTS = 200_000

Marks = Sequence[tuple[str, int]]
Live = dict[int, tuple[int, Any]]


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


def repeat_micro_batch(
    trace: Trace, live: Live, kernels: list[ConvolutionKernel], more: int
) -> None:
    """Add copies of the last micro-batch to a trace, unless it differs from the one before.

    Called where the optimizer's step begins. What is alive of the last one is then of the last
    copy.

    Args:
        trace: The trace.
        live: (block id, reference) by storage.
        kernels: The convolutions' kernels so far.
        more: How many copies are wanted; fewer are made where they are long.
    """
    trace.mark(OPTIMIZER)
    alike = are_alike(trace)
    _, (_, start), (_, end) = _last_two(trace.marks)
    trace.marks.pop()
    first = next((i for i, size in trace.events[start:end] if size > 0), 0)
    distance, length = len(trace.blocks) - first, end - start
    kept = any(first - distance <= block_id < first for block_id, _ in live.values())
    if not alike or kept or not length:
        return
    events, blocks = trace.events[start:], trace.blocks[first:]
    marks = [mark for mark in trace.marks if mark[1] >= start]
    its_kernels = [kernel for kernel in kernels if kernel.position >= start]
    copies = min(more, _MOST_EVENTS // length)
    for copy in range(1, copies + 1):
        by, later = copy * distance, copy * length
        trace.events += [(i + by if i >= first - distance else i, size) for i, size in events]
        trace.blocks += blocks
        trace.marks += [(phase, at + later) for phase, at in marks]
        kernels += [
            replace(kernel, position=kernel.position + later, is_first=False)
            for kernel in its_kernels
        ]
    for key, (block_id, reference) in live.items():
        if block_id >= first:
            live[key] = block_id + copies * distance, reference


def are_repeated(trace: Trace) -> bool:
    """Return whether all steps of a trace have the same number of micro-batches."""
    counts: list[int] = []
    for phase, _ in trace.marks:
        if phase == STEP:
            counts.append(0)
        elif phase == FORWARD and counts:
            counts[-1] += 1
    return len(set(counts)) == 1


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
