"""Expandable segments: growth page by page, best fit with room to grow, unmapping."""

import pytest
from segment_views import segments_of

from memorymark.errors import OutOfMemory
from memorymark.simulator.allocator.caching_allocator import CachingAllocator

MIB = 1024**2


def expandable(capacity=None):
    return CachingAllocator(capacity, expandable_segments=True)


@pytest.mark.parametrize(
    ("asked", "reserved"),
    [(1, 2 * MIB), (MIB, 2 * MIB), (2 * MIB, 20 * MIB), (21 * MIB, 40 * MIB)],
)
def test_pools_grow_by_their_pages(asked, reserved):
    allocator = expandable()
    allocator.allocate(asked)
    assert allocator.reserved_bytes == reserved


def test_one_segment_grows_and_leaves_no_gap():
    allocator = expandable()
    for _ in range(3):
        allocator.allocate(15 * MIB)
    assert allocator.reserved_bytes == 60 * MIB
    (segment,) = segments_of(allocator)
    assert [block.size_bytes for block in segment.blocks] == [15 * MIB] * 4
    assert [block.allocated for block in segment.blocks] == [True] * 3 + [False]


def test_large_blocks_are_split_from_512_bytes_on():
    allocator = expandable()
    allocator.allocate(20 * MIB - 512)
    assert allocator.allocated_bytes == 20 * MIB - 512
    assert segments_of(allocator)[0].blocks[1].size_bytes == 512


def test_growth_uses_the_free_end_of_the_segment():
    allocator = expandable()
    allocator.allocate(10 * MIB)
    allocator.allocate(30 * MIB)
    assert allocator.reserved_bytes == 40 * MIB


def test_a_block_inside_fits_better_than_the_end_that_can_grow():
    allocator = expandable()
    handles = [allocator.allocate(size * MIB) for size in (16, 2, 12)]
    allocator.free(handles[0])
    allocator.allocate(8 * MIB)
    (segment,) = segments_of(allocator)
    shape = [(block.size_bytes // MIB, block.allocated) for block in segment.blocks]
    assert shape == [(8, True), (8, False), (2, True), (12, True), (10, False)]


def test_pages_without_use_are_unmapped_at_the_capacity():
    allocator = expandable(80 * MIB)
    first = allocator.allocate(40 * MIB)
    allocator.allocate(40 * MIB)
    allocator.free(first)
    allocator.allocate(MIB)
    assert allocator.retries == 1
    assert allocator.reserved_bytes == 42 * MIB


def test_a_page_in_use_at_its_edge_stays_mapped():
    allocator = expandable()
    handles = [allocator.allocate(size * MIB) for size in (25, 35, 20)]
    allocator.free(handles[1])
    allocator.empty_cache()
    shapes = [
        [(block.size_bytes // MIB, block.allocated) for block in segment.blocks]
        for segment in segments_of(allocator)
    ]
    assert shapes == [[(25, True), (15, False)], [(20, True)]]
    assert allocator.reserved_bytes == 60 * MIB


def test_a_gap_is_filled_before_the_end_grows():
    allocator = expandable()
    handles = [allocator.allocate(20 * MIB) for _ in range(3)]
    allocator.free(handles[1])
    allocator.empty_cache()
    assert allocator.reserved_bytes == 40 * MIB
    allocator.allocate(20 * MIB)
    (segment,) = segments_of(allocator)
    assert [block.allocated for block in segment.blocks] == [True] * 3


def test_only_what_fits_is_mapped():
    allocator = expandable(40 * MIB)
    allocator.allocate(30 * MIB)
    with pytest.raises(OutOfMemory):
        allocator.allocate(30 * MIB)
    assert allocator.reserved_bytes == 40 * MIB
    allocator.allocate(10 * MIB)


def test_it_needs_less_where_sizes_grow():
    fixed, growing = CachingAllocator(), expandable()
    for size in range(20, 60, 2):
        for allocator in (fixed, growing):
            allocator.free(allocator.allocate(size * MIB))
    assert growing.peak_reserved_bytes == 60 * MIB
    assert fixed.peak_reserved_bytes == sum(range(20, 60, 2)) * MIB
