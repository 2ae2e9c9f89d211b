"""Where memory comes from: the device's capacity, fixed segments, pages of expandable ones."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.simulator.allocator.blocks import MIB, Pool
from memorymark.simulator.allocator.segments import Device, ExpandableSegments, FixedSegments

KINDS = [FixedSegments, ExpandableSegments]
requests = st.lists(st.integers(1, 60).map(lambda n: n * MIB // 2), min_size=1, max_size=12)


@given(st.lists(st.integers(-40, 40), max_size=30), st.integers(0, 100))
def test_a_device_never_gives_more_than_it_has(changes, capacity):
    device, taken, highest = Device(capacity), 0, 0
    for change in changes:
        if change > 0:
            fits = taken + change <= capacity
            assert device.take(change) is fits
            taken += change * fits
        elif -change <= taken:
            device.give_back(-change)
            taken += change
        highest = max(highest, taken)
        assert (device.taken_bytes, device.peak_taken_bytes) == (taken, highest)


def test_a_device_without_a_capacity_gives_everything():
    device = Device(None)
    assert device.take(2**50) and device.taken_bytes == 2**50


@given(st.lists(st.integers(1, 2**50), min_size=2, max_size=50))
def test_stretches_of_addresses_never_overlap_and_are_the_same_again(lengths):
    first, second = Device(None), Device(None)
    starts = [first.address_space(length) for length in lengths]
    assert starts == [second.address_space(length) for length in lengths]
    ordered = sorted(zip(starts, lengths, strict=True))
    for (start, length), (following, _) in pairwise(ordered):
        assert start + length <= following


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(sizes=requests, capacity=st.integers(0, 200))
def test_growth_gives_room_within_the_capacity(kind, sizes, capacity):
    device, pool = Device(capacity * MIB), Pool(is_small=False)
    segments, held = kind(device), []
    for size in sizes:
        before = device.taken_bytes
        block = segments.grow(pool, size)
        if block is None:
            # What was mapped before the device ended stays, on the list of free blocks.
            assert device.taken_bytes >= before
            continue
        block.allocated = True
        held.append(block)
        assert block.mapped and block.size_bytes >= size
    assert device.taken_bytes <= capacity * MIB
    mapped = sum(block.size_bytes for block in (*held, *pool.free))
    assert mapped == device.taken_bytes


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(sizes=requests)
def test_all_goes_back_once_nothing_is_in_use(kind, sizes):
    device, pool = Device(None), Pool(is_small=False)
    segments = kind(device)
    held = []
    for size in sizes:
        held.append(segments.grow(pool, size))
        held[-1].allocated = True
    assert device.taken_bytes >= sum(sizes)
    for block in held:
        block.allocated = False
        block.absorb_neighbours()
        pool.free.add(block)
    segments.release(pool)
    assert device.taken_bytes == 0 and len(pool.free) == 0


@pytest.mark.parametrize(
    ("kind", "is_small", "remainder", "splits"),
    [
        (FixedSegments, True, 511, False),
        (FixedSegments, True, 512, True),
        (FixedSegments, False, MIB, False),
        (FixedSegments, False, MIB + 1, True),
        (ExpandableSegments, False, 511, False),
        (ExpandableSegments, False, 512, True),
    ],
)
def test_what_is_left_is_kept_apart_where_it_is_worth_it(kind, is_small, remainder, splits):
    segments, pool = kind(Device(None)), Pool(is_small=is_small)
    assert (remainder >= segments.least_remainder_bytes(pool)) is splits


def test_the_best_fit_of_fixed_segments_is_the_smallest():
    segments, pool = FixedSegments(Device(None)), Pool(is_small=False)
    for size in (30 * MIB, 12 * MIB, 20 * MIB):
        pool.free.add(segments.grow(pool, size))
    assert segments.best_fit(pool, 14 * MIB).size_bytes == 20 * MIB
    assert [block.size_bytes for block in pool.free] == [12 * MIB, 30 * MIB]
    assert segments.best_fit(pool, 31 * MIB) is None


def test_address_space_of_an_expandable_segment_is_nine_eighths_of_the_capacity():
    segments, pool = ExpandableSegments(Device(160 * MIB)), Pool(is_small=False)
    block = segments.grow(pool, 20 * MIB)
    assert block.after.size_bytes == (180 - 20) * MIB and not block.after.mapped
