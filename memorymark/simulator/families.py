"""Traces of many batch sizes from the simulations of a few.

The size of a block is a number of bytes for each sample, or has nothing to do with the batch: over
the batch it is a straight line, and so is what an operation computes and moves. Where a kernel
changes with the batch (an embedding's backward pass sorts from some number of indices on), another
line begins. Simulations that lie on one line are a family. Two always do, so a family is trusted
from the third member on, and only between its members.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from memorymark.memory.trace import STEP, Block, Trace
from memorymark.simulator.cuda.convolutions import ConvolutionKernel
from memorymark.simulator.repetition import SteadyPeak, can_repeat, with_repeated_kernels
from memorymark.simulator.simulate import SimulatedSteps
from memorymark.simulator.time.kernels import Kernel, Work

_TRUSTED = 3
# A step of the first kind and one of those that follow; more only where they are not alike.
_STEPS = 2
# The first fields of a kernel say what it is, those after them how much it does.
_NAMES = Kernel._fields.index("moved_bytes")
# Longer traces are derived again for each card: many of them would take gigabytes.
_MOST_EVENTS_KEPT = 20_000


class Family:
    """Simulations of one training on one line.

    Args:
        batch_size: Batch size of the first member.
        steps: Its simulation.

    Attributes:
        batch_sizes: Those of its members, in order.
    """

    def __init__(self, batch_size: int, steps: SimulatedSteps) -> None:
        self.batch_sizes = [batch_size]
        self._first, self._steps = batch_size, steps
        self._numbers, self._frame = _numbers(steps), _frame(steps)
        self._slopes: list[int] | None = None

    def takes(self, batch_size: int, steps: SimulatedSteps) -> bool:
        """Add a simulation if it lies on the line; return whether it does."""
        numbers, apart = _numbers(steps), batch_size - self._first
        if len(numbers) != len(self._numbers) or _frame(steps) != self._frame:
            return False
        if self._slopes is None:
            grown = [new - old for old, new in zip(self._numbers, numbers, strict=True)]
            if any(more % apart for more in grown):
                return False
            self._slopes = [more // apart for more in grown]
        elif self._at(batch_size) != numbers:
            return False
        self.batch_sizes.insert(bisect_left(self.batch_sizes, batch_size), batch_size)
        return True

    def derive(self, batch_size: int) -> SimulatedSteps | None:
        """Return the steps at a batch size; None where the family is not trusted for it."""
        smallest, largest = self.batch_sizes[0], self.batch_sizes[-1]
        if len(self.batch_sizes) < _TRUSTED or not smallest < batch_size < largest:
            return None
        return _with_numbers(self._steps, self._at(batch_size))

    def expect(self, batch_size: int) -> SimulatedSteps | None:
        """Return the steps at any batch size, trusted or not; None where there is no line."""
        if self._slopes is None:
            return None
        numbers = self._at(batch_size)
        return None if min(numbers, default=0) < 0 else _with_numbers(self._steps, numbers)

    def _at(self, batch_size: int) -> list[int]:
        assert self._slopes is not None
        more = batch_size - self._first
        pairs = zip(self._numbers, self._slopes, strict=True)
        return [number + slope * more for number, slope in pairs]


class BatchSizes:
    """The simulations of one training under one device's rules, by batch size."""

    def __init__(self) -> None:
        self.simulated: dict[int, SimulatedSteps] = {}
        self._derived: dict[int, SimulatedSteps] = {}
        self._families: list[Family] = []

    def add(self, batch_size: int, steps: SimulatedSteps) -> None:
        """Keep a simulation."""
        self.simulated[batch_size] = steps
        self._derived.clear()
        if steps.steps_run != _STEPS:
            return  # it is not known which steps another batch size would take
        if not any(family.takes(batch_size, steps) for family in self._families):
            self._families.append(Family(batch_size, steps))

    def is_on_a_line(self, batch_size: int) -> bool:
        """Return whether a simulation is on one line with two others."""
        sizes = (family.batch_sizes for family in self._families)
        return any(batch_size in each and len(each) >= _TRUSTED for each in sizes)

    def derive(self, batch_size: int) -> SimulatedSteps | None:
        """Return the steps at a batch size that was not simulated; None where they are not sure.

        The simulations next to it, on both sides, must be of one family.
        """
        if batch_size in self._derived:
            return self._derived[batch_size]
        derived = self._derive(batch_size)
        if derived is not None and len(derived.trace.events) <= _MOST_EVENTS_KEPT:
            self._derived[batch_size] = derived
        return derived

    def expect(self, batch_size: int) -> SimulatedSteps | None:
        """Return the steps at any batch size if all simulations are on one line, else None.

        Two simulations are enough, and it may lie beyond them: that is no more than a guess.
        """
        alike = len(self._families) == 1
        alike = alike and len(self._families[0].batch_sizes) == len(self.simulated)
        return self._families[0].expect(batch_size) if alike else None

    def _derive(self, batch_size: int) -> SimulatedSteps | None:
        family = self._family_around(batch_size)
        return None if family is None else family.derive(batch_size)

    def _family_around(self, batch_size: int) -> Family | None:
        """Return the family of the simulations next to a batch size, if both are of one."""
        known = sorted(self.simulated)
        position = bisect_left(known, batch_size)
        if not 0 < position < len(known):
            return None
        beside = {known[position - 1], known[position]}
        return next((each for each in self._families if beside <= set(each.batch_sizes)), None)


def first_steps(trace: Trace) -> Trace:
    """Return a trace without the steps that repeat the second."""
    starts = [n for n, (phase, _) in enumerate(trace.marks) if phase == STEP]
    if len(starts) <= _STEPS:
        return trace
    marks = trace.marks[: starts[_STEPS]]
    events = trace.events[: trace.marks[starts[_STEPS]][1]]
    made = sum(size_bytes > 0 for _, size_bytes in events)
    return Trace(trace.blocks[:made], events, marks)


def _frame(steps: SimulatedSteps) -> tuple[Any, ...]:
    """Return all of a simulation but for the numbers that grow with the batch."""
    trace = first_steps(steps.trace)
    blocks = [(b.phase, b.path, b.operation, b.category, b.owner) for b in trace.blocks]
    order = [(block_id, size_bytes > 0) for block_id, size_bytes in trace.events]
    works = [(work.times, [kernel[:_NAMES] for kernel in work.kernels]) for work in steps.works]
    kernels = [replace(kernel, operand_bytes=0) for kernel in _kernels(steps, trace)]
    return blocks, order, trace.marks, works, kernels, steps.assumptions, steps.gradient_check


def _kernels(steps: SimulatedSteps, trace: Trace) -> list[ConvolutionKernel]:
    """Return the convolutions' kernels within the first steps."""
    return [kernel for kernel in steps.convolutions if kernel.position <= len(trace.events)]


def _numbers(steps: SimulatedSteps) -> list[int]:
    """Return the numbers that grow with the batch, in an order of their own."""
    trace = first_steps(steps.trace)
    return [
        *(block.size_bytes for block in trace.blocks),
        *(n for work in steps.works for kernel in work.kernels for n in kernel[_NAMES:]),
        *(kernel.operand_bytes for kernel in _kernels(steps, trace)),
    ]


def with_block_sizes(
    steps: SimulatedSteps, sizes: list[int], events: list[tuple[int, int]] | None = None
) -> SimulatedSteps | None:
    """Return a simulation with blocks of other sizes in its first steps, and all else its own.

    None where its steps would have to be repeated and are not alike.

    Args:
        steps: The simulation.
        sizes: Those of its blocks.
        events: The events of its first steps with these sizes, where they are known.
    """
    like = first_steps(steps.trace)
    blocks = [_of_size(block, size) for block, size in zip(like.blocks, sizes, strict=True)]
    if events is None:
        events = [(i, sizes[i] if size > 0 else -sizes[i]) for i, size in like.events]
    trace = Trace(blocks, events, list(like.marks))
    peak = SteadyPeak(trace)
    peak.is_steady(end=trace.last_step())
    if not peak.is_steady():
        if not can_repeat(trace):
            return None
        peak.repeat_until_steady()
    peak.replay.close()
    kernels = with_repeated_kernels(_kernels(steps, like), trace, _STEPS)
    return replace(steps, trace=trace, free_running=peak.replay.result(), convolutions=kernels)


def _with_numbers(steps: SimulatedSteps, numbers: list[int]) -> SimulatedSteps | None:
    """Return a simulation with other numbers in the place of its own; None as above."""
    like = first_steps(steps.trace)
    left = iter(numbers)
    sizes = list(islice(left, len(like.blocks)))
    works = [_with_sizes(work, left) for work in steps.works]
    kernels = tuple(
        replace(kernel, operand_bytes=n)
        for kernel, n in zip(_kernels(steps, like), left, strict=True)
    )
    return with_block_sizes(replace(steps, works=works, convolutions=kernels), sizes)


def _with_sizes(work: Work, left: Iterator[int]) -> Work:
    """Return a work whose kernels have the next numbers."""
    count = len(Kernel._fields) - _NAMES
    kernels = (Kernel(*kernel[:_NAMES], *islice(left, count)) for kernel in work.kernels)
    return work._replace(kernels=tuple(kernels))


def _of_size(block: Block, size_bytes: int) -> Block:
    return Block(size_bytes, block.phase, block.path, block.operation, block.category, block.owner)
