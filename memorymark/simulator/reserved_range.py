"""The range in which the peak of reserved memory lies, where cuDNN may borrow workspaces.

The trace itself is the base: it holds no workspace of a convolution, and so decides whether a
step fits, since PyTorch goes without the workspaces that find no room
(`memorymark.simulator.cuda.convolutions`). What a step takes where there is room depends on
cuDNN's choice, in both directions: a workspace of the forward pass leaves a large cached block
that later tensors use, and a workspace of the backward pass that is larger than any cached block
needs a segment of its own. So two choices are played through:

- *low*: matrix products (filters of one element) copy their operands, in both passes, and after
  the first step everything finds room in what that step left;
- *high*: each kernel of the backward pass copies half of what it holds, over all steps.

The range lies around the middle of both. It is as wide as they lie apart, and at least as wide as
measured peaks scatter: whether one more of the net's largest tensors finds a cached block is about
4 % of the peak, and reruns of one setting differ by that much. `_SCATTER` and `_SHIFT` are set so
that nine in ten of the runs of benchmarks/ground_truth lie inside. Where convolutions are a small
part of the memory, as in a vision transformer, so is the scatter. The figure without any workspace
is always within the range.

A third choice raises only the higher end: nets that begin with a separable block may hold its
images unfolded, up to a size (MNASNet; on one card and not on another).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memorymark.memory.trace import STEP, Trace
from memorymark.simulator.allocator.replay import EMPTY_CACHE, Events, ReplayResult, replay
from memorymark.simulator.cuda.convolutions import ConvolutionKernel

# Shares of the middle of both choices: half the width of the range at least, and where it lies.
_SCATTER = 0.0395
_SHIFT = -0.0075
# The scatter is at most this share of what the convolutions of a forward pass read and write.
_SCATTER_OF_OPERANDS = 0.25


@dataclass(frozen=True)
class ReservedRange:
    """Where the peak of reserved memory lies, in bytes.

    Attributes:
        low_bytes: Its lower end.
        likely_bytes: The best single figure, between the ends.
        high_bytes: Its higher end, at most the capacity.
    """

    low_bytes: int
    likely_bytes: int
    high_bytes: int


def base_events(
    trace: Trace, kernels: Sequence[ConvolutionKernel], *, benchmark: bool = False
) -> Events:
    """Return the events without any workspace; with a benchmark's emptying of the cache."""
    if not benchmark:
        return trace.events
    return _with_workspaces(trace.events, kernels, lambda kernel: 0, benchmark=True)[0]


def largest_workspace(
    kernels: Sequence[ConvolutionKernel], *, benchmark: bool = False
) -> int | None:
    """Return the largest workspace that the range allows for; None where it allows for none."""
    sizes = (
        max(
            k.pointwise_bytes,
            k.gradient_bytes,
            k.unfolded_bytes,
            k.largest_bytes if benchmark else 0,
        )
        for k in kernels
    )
    return max(sizes, default=0) or None


@dataclass(frozen=True)
class PlayedPlans:
    """What the peak of reserved memory comes to by cuDNN's choices, in bytes.

    Attributes:
        low_bytes: With matrix products that copy their operands, in the first step.
        high_bytes: With backward kernels that copy half of what they hold.
        unfolded_bytes: With unfolded images, where the net may hold such; 0 elsewhere.
        operand_share: What forward convolutions read and write, over the peak.
        base: What the trace comes to without any workspace.
        capacity_bytes: What the device hands out; None is without limit.
    """

    low_bytes: int
    high_bytes: int
    unfolded_bytes: int
    operand_share: float
    base: ReplayResult
    capacity_bytes: int | None

    def range(self, scatter: float = _SCATTER, shift: float = _SHIFT) -> ReservedRange:
        """Return the range around the choices.

        Args:
            scatter: Half the width of the range at least, as a share of the middle.
            shift: Where its middle lies from theirs, likewise.
        """
        held = min(scatter, _SCATTER_OF_OPERANDS * self.operand_share)
        middle = (self.low_bytes + self.high_bytes) / 2 * (1 + shift * held / scatter)
        half = max((self.high_bytes - self.low_bytes) / 2, held * middle)
        base = self.base.peak_reserved_bytes
        low = max(min(round(middle - half), base), self.base.peak_allocated_bytes)
        high = max(round(middle + half), base, self.unfolded_bytes)
        if self.capacity_bytes is not None:
            high = min(high, self.capacity_bytes)
        return ReservedRange(low, (low + high) // 2, high)


def reserved_range(
    trace: Trace,
    kernels: Sequence[ConvolutionKernel],
    base: ReplayResult,
    capacity_bytes: int | None,
    *,
    benchmark: bool = False,
) -> ReservedRange | None:
    """Return the range of the peak at a capacity; None where no convolution runs.

    Args:
        trace: The steps without workspaces.
        kernels: Their convolutions' kernels.
        base: What the trace came to at the capacity.
        capacity_bytes: What the device hands out; None is without limit.
        benchmark: Whether cuDNN tries all plans at the first call of each shape.
    """
    if not kernels:
        return None
    return play_plans(trace, kernels, base, capacity_bytes, benchmark=benchmark).range()


def play_plans(
    trace: Trace,
    kernels: Sequence[ConvolutionKernel],
    base: ReplayResult,
    capacity_bytes: int | None,
    *,
    benchmark: bool = False,
) -> PlayedPlans:
    """Play the trace with the workspaces of each choice; the arguments are reserved_range's."""

    def peak(events: Events, size: Callable[[ConvolutionKernel], int]) -> int:
        played, optional = _with_workspaces(events, kernels, size, benchmark=benchmark)
        return replay(played, capacity_bytes, optional=optional).peak_reserved_bytes

    def larger(kernel: ConvolutionKernel) -> int:
        tried = kernel.largest_bytes if benchmark and kernel.is_first else 0
        return max(tried, kernel.gradient_bytes)

    first = trace.events[: _first_step(trace)]
    high = peak(trace.events, larger)
    unfolds = any(kernel.unfolded_bytes for kernel in kernels)
    return PlayedPlans(
        low_bytes=min(peak(first, lambda kernel: kernel.pointwise_bytes), high),
        high_bytes=high,
        unfolded_bytes=peak(trace.events, lambda kernel: kernel.unfolded_bytes) if unfolds else 0,
        operand_share=_operand_share(trace, kernels, base),
        base=base,
        capacity_bytes=capacity_bytes,
    )


def _with_workspaces(
    events: Events,
    kernels: Sequence[ConvolutionKernel],
    size: Callable[[ConvolutionKernel], int],
    *,
    benchmark: bool,
) -> tuple[Events, frozenset[int]]:
    """Return the events with each kernel's workspace, and the workspaces' ids."""
    played: list[tuple[int, int]] = []
    done, workspace = 0, -1  # ids of a trace count up from 0
    for kernel in kernels:
        size_bytes, empties = size(kernel), benchmark and kernel.is_first
        if kernel.position > len(events):
            break
        if size_bytes or empties:
            played += events[done : kernel.position]
            done = kernel.position
        if size_bytes:
            played += [(workspace, size_bytes), (workspace, -size_bytes)]
            workspace -= 1
        if empties:
            played.append(EMPTY_CACHE)
    played += events[done:]
    return played, frozenset(range(workspace + 1, 0))


def _first_step(trace: Trace) -> int:
    """Return the number of events up to the end of the first step."""
    starts = [position for phase, position in trace.marks if phase == STEP]
    return starts[1] if len(starts) > 1 else len(trace.events)


def _operand_share(trace: Trace, kernels: Sequence[ConvolutionKernel], base: ReplayResult) -> float:
    """Return what the first step's forward convolutions read and write, over the peak."""
    end = _first_step(trace)
    operands = sum(
        kernel.operand_bytes
        for kernel in kernels
        if kernel.position <= end and not kernel.is_backward
    )
    return operands / max(base.peak_allocated_bytes, 1)
