"""The range of the reserved peak."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.memory.trace import STEP, Block, Trace
from memorymark.simulator.allocator.replay import EMPTY_CACHE, replay
from memorymark.simulator.cuda.convolutions import ConvolutionKernel
from memorymark.simulator.reserved_range import base_events, largest_workspace, reserved_range
from memorymark.units import GIB, MIB


def kernel(position, size_bytes, **changes):
    values = {"copies": True, "is_pointwise": True, "is_backward": False, "is_first": True}
    return ConvolutionKernel(position, size_bytes, **values | changes)


@st.composite
def steps(draw):
    trace, kernels, live = Trace(), [], []
    for _ in range(draw(st.integers(1, 3))):
        trace.mark(STEP)
        for _ in range(draw(st.integers(1, 12))):
            live.append(trace.allocate(Block(draw(st.integers(1, 40 * MIB)), STEP, "", "made")))
            size, flags = draw(st.integers(1, 80 * MIB)), st.booleans()
            backward, pointwise = draw(flags), draw(flags)
            kernels.append(
                kernel(
                    len(trace.events), size, is_pointwise=pointwise, is_backward=backward,
                    is_first=draw(flags),
                )
            )  # fmt: skip
            while live and draw(st.booleans()):
                trace.release(live.pop(draw(st.integers(0, len(live) - 1))))
    return trace, kernels


@settings(max_examples=60, deadline=None)
@given(steps(), st.integers(40 * MIB, GIB), st.booleans())
def test_the_range_is_ordered_and_within_the_capacity(made, capacity, benchmark):
    trace, kernels = made
    base = replay(base_events(trace, kernels, benchmark=benchmark), capacity)
    if not base.fits:
        return
    found = reserved_range(trace, kernels, base, capacity, benchmark=benchmark)
    assert base.peak_allocated_bytes <= found.low_bytes
    assert found.low_bytes <= found.likely_bytes <= found.high_bytes <= capacity


def step_of(*sizes):
    trace = Trace()
    trace.mark(STEP)
    for size in sizes:
        trace.release(trace.allocate(Block(size, STEP, "", "made")))
    return trace


def ranged(trace, kernels, capacity=None, **options):
    return reserved_range(trace, kernels, replay(trace.events, capacity), capacity, **options)


def test_without_convolutions_there_is_no_range():
    trace = step_of(20 * MIB)
    assert ranged(trace, []) is None
    assert base_events(trace, []) is trace.events
    assert largest_workspace([]) is None


def test_a_workspace_that_no_cached_block_holds_raises_the_higher_end():
    trace = step_of(100 * MIB)
    small = ranged(trace, [kernel(2, 100 * MIB, is_backward=True, is_pointwise=False)])
    large = ranged(trace, [kernel(2, 400 * MIB, is_backward=True, is_pointwise=False)])
    assert small.high_bytes == pytest.approx(100 * MIB, rel=0.05)
    assert large.high_bytes > 280 * MIB


def test_a_workspace_without_room_is_left_out():
    trace = step_of(100 * MIB)
    kernels = [kernel(2, 400 * MIB, is_backward=True)]
    tight = ranged(trace, kernels, 128 * MIB)
    assert tight.high_bytes <= 128 * MIB


def test_images_that_may_be_unfolded_raise_only_the_higher_end():
    trace = step_of(100 * MIB)
    plain = kernel(2, 100 * MIB, copies=False)
    without = ranged(trace, [plain])
    unfolding = kernel(2, 20 * MIB, copies=False, is_backward=True, is_first=False, unfolds=True)
    found = ranged(trace, [plain, unfolding])
    assert found.low_bytes == without.low_bytes
    assert found.high_bytes == 280 * MIB > without.high_bytes
    assert largest_workspace([plain, unfolding]) == 180 * MIB
    assert ranged(trace, [plain, unfolding], 128 * MIB).high_bytes < 128 * MIB


def test_the_range_is_as_wide_as_the_plans_lie_apart():
    trace = step_of(100 * MIB)
    found = ranged(trace, [kernel(2, 400 * MIB, is_backward=True, is_pointwise=False)])
    assert found.low_bytes == pytest.approx(100 * MIB, rel=0.01)
    assert found.high_bytes == pytest.approx(300 * MIB, rel=0.01)


def test_few_convolutions_leave_the_figure_almost_alone():
    trace = step_of(1000 * MIB)
    found = ranged(trace, [kernel(2, 4 * MIB)])
    assert found.high_bytes - found.low_bytes <= 3 * MIB
    assert found.likely_bytes == pytest.approx(1000 * MIB, rel=0.002)


def test_a_benchmark_tries_the_largest_workspace_once_and_empties_the_cache():
    trace = step_of(100 * MIB, 60 * MIB)
    tried = kernel(2, 200 * MIB, is_pointwise=False)
    again = kernel(4, 200 * MIB, is_pointwise=False, is_first=False)
    events = base_events(trace, [tried, again], benchmark=True)
    assert list(events) == [*trace.events[:2], EMPTY_CACHE, *trace.events[2:]]
    assert replay(events).peak_reserved_bytes == 100 * MIB
    off, on = (ranged(trace, [tried, again], benchmark=b) for b in (False, True))
    assert on.high_bytes > 200 * MIB * 9 // 4 > off.high_bytes
    assert largest_workspace([tried, again], benchmark=True) == 450 * MIB
