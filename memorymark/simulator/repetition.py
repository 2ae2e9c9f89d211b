"""Repeats the last step of a trace where the next one would be the same.

A step's allocations follow from the code and from what is alive when it begins. Where the blocks
that a step releases of those before it, and the blocks that it leaves to the next, are alike one
for one, the next step begins as this one began, and needs no simulation: it is this one again,
with the blocks that this one left in the place of those that it found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from memorymark.memory.trace import STEP, Block, Trace
from memorymark.simulator.allocator.replay import Replay
from memorymark.simulator.cuda.convolutions import ConvolutionKernel

# The first step allocates the optimizer's states among its activations, and later ones find
# other cached blocks than it did; most models are steady after two or three.
MOST_STEPS = 6


def can_repeat(trace: Trace) -> bool:
    """Return whether the step after the last one of a trace would be the same again."""
    return _successors(trace) is not None


def repeat_last_step(trace: Trace) -> None:
    """Add to a trace, for which `can_repeat` holds, the next step."""
    successors = _successors(trace)
    assert successors is not None
    start, first = trace.last_step(), _first_block(trace)
    shift, later = len(trace.blocks) - first, len(trace.events) - start
    trace.blocks += trace.blocks[first:]
    trace.events += [
        (block_id + shift if block_id >= first else successors[block_id], size_bytes)
        for block_id, size_bytes in trace.events[start:]
    ]
    begins = max(n for n, (phase, _) in enumerate(trace.marks) if phase == STEP)
    trace.marks += [(phase, at + later) for phase, at in trace.marks[begins:]]


def with_repeated_kernels(
    kernels: Sequence[ConvolutionKernel], trace: Trace, steps_run: int
) -> tuple[ConvolutionKernel, ...]:
    """Return convolutions' kernels with those of the steps that repeat the last one that ran."""
    starts = [position for phase, position in trace.marks if phase == STEP]
    last = starts[steps_run - 1]
    repeated = [kernel for kernel in kernels if kernel.position > last]
    added = [
        replace(kernel, position=kernel.position + start - last, is_first=False)
        for start in starts[steps_run:]
        for kernel in repeated
    ]
    return (*kernels, *added)


def _successors(trace: Trace) -> dict[int, int] | None:
    """Return, for each older block that the last step released, the one that it left instead.

    None where the two sets differ.
    """
    first = _first_block(trace)
    found: list[int] = []
    left: dict[int, None] = {}
    for block_id, size_bytes in trace.events[trace.last_step() :]:
        if size_bytes > 0:
            left[block_id] = None
        elif block_id < first:
            found.append(block_id)
        else:
            del left[block_id]
    waiting = defaultdict(list)
    for block_id in reversed(left):
        waiting[_kind(trace.blocks[block_id])].append(block_id)
    successors = {}
    for block_id in sorted(found):
        alike = waiting[_kind(trace.blocks[block_id])]
        if not alike:
            return None
        successors[block_id] = alike.pop()
    return successors if len(successors) == len(left) else None


def _first_block(trace: Trace) -> int:
    """Return the number of blocks that were made before the last step."""
    start = trace.last_step()
    return next((i for i, size in trace.events[start:] if size > 0), len(trace.blocks))


def _kind(block: Block) -> tuple[Any, ...]:
    return block.size_bytes, block.phase, block.path, block.operation, block.category, block.owner


class SteadyPeak:
    """Watches the reserved memory of a growing trace.

    Args:
        trace: The trace.
    """

    def __init__(self, trace: Trace) -> None:
        self.replay = Replay()
        self._trace = trace
        self._steady = False
        self._steps = 0

    def is_steady(self, end: int | None = None) -> bool:
        """Return whether the newest step reserved nothing more; `end` is where it ends."""
        self._steps += 1
        before = self.replay.peak_reserved_bytes
        self.replay.feed(self._trace.events[:end])
        self._steady = 0 < before == self.replay.peak_reserved_bytes
        return self._steady

    def repeat_until_steady(self) -> None:
        """Repeat the last step until the peak is steady, or often enough."""
        while not self._steady and self._steps < MOST_STEPS:
            repeat_last_step(self._trace)
            self.is_steady()
