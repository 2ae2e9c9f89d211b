"""The caching allocator's rules, one by one, and against a plain reference on random traces."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_views import segments_of

from memorymark.errors import InvalidValue, OutOfMemory
from memorymark.simulator.allocator.blocks import round_request, segment_bytes
from memorymark.simulator.allocator.caching_allocator import CachingAllocator

KIB, MIB = 1024, 1024**2

sizes = st.one_of(
    st.integers(1, 4 * KIB),
    st.integers(512 * KIB, 2 * MIB),
    st.integers(MIB, 40 * MIB),
    st.sampled_from([512, MIB, MIB + 1, 2 * MIB, 10 * MIB - 512, 10 * MIB, 20 * MIB]),
)
commands = st.lists(st.tuples(st.booleans(), sizes, st.integers(0, 10**6)), max_size=60)
capacities = st.one_of(st.none(), st.integers(0, 60).map(lambda n: n * 2 * MIB))


@pytest.mark.parametrize(
    ("asked", "allocated"),
    [(1, 512), (511, 512), (512, 512), (513, 1024), (MIB, MIB), (MIB + 1, MIB + 512)],
)
def test_requests_are_rounded_to_512_bytes(asked, allocated):
    allocator = CachingAllocator()
    allocator.allocate(asked)
    assert allocator.allocated_bytes == allocated


@pytest.mark.parametrize(
    ("asked", "reserved"),
    [
        (1, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB - 511, 10 * MIB),
        (10 * MIB, 10 * MIB),
        (10 * MIB + 1, 12 * MIB),
        (100 * MIB, 100 * MIB),
    ],
)
def test_segments_have_the_size_of_their_pool(asked, reserved):
    allocator = CachingAllocator()
    allocator.allocate(asked)
    assert allocator.reserved_bytes == reserved


def test_small_and_large_requests_share_nothing():
    allocator = CachingAllocator()
    allocator.free(allocator.allocate(20 * MIB))
    allocator.allocate(4 * KIB)
    assert allocator.reserved_bytes == 22 * MIB
    assert sorted(segment.is_small for segment in segments_of(allocator)) == [False, True]


def test_small_remainder_is_split_from_512_bytes_on():
    allocator = CachingAllocator()
    allocator.allocate(MIB)
    allocator.allocate(MIB - 512)
    (segment,) = segments_of(allocator)
    assert [block.size_bytes for block in segment.blocks] == [MIB, MIB - 512, 512]


@pytest.mark.parametrize(
    ("freed", "asked", "counted"),
    [
        (20 * MIB, 19 * MIB, 20 * MIB),
        (20 * MIB, 19 * MIB - 512, 19 * MIB - 512),
    ],
)
def test_large_remainder_up_to_one_mib_stays_with_the_allocation(freed, asked, counted):
    allocator = CachingAllocator()
    allocator.free(allocator.allocate(freed))
    allocator.allocate(asked)
    assert allocator.allocated_bytes == counted
    assert allocator.reserved_bytes == freed


def test_fresh_segment_keeps_its_remainder_too():
    allocator = CachingAllocator()
    allocator.allocate(10 * MIB + 512)
    assert allocator.allocated_bytes == 10 * MIB + 512
    assert len(segments_of(allocator)[0].blocks) == 2
    allocator = CachingAllocator()
    allocator.allocate(11 * MIB)
    assert allocator.allocated_bytes == 12 * MIB


def test_smallest_fitting_block_is_taken():
    allocator = CachingAllocator()
    handles = [allocator.allocate(size * MIB) for size in (30, 12, 20)]
    for handle in handles:
        allocator.free(handle)
    allocator.allocate(14 * MIB)
    used = [s.size_bytes for s in segments_of(allocator) if s.blocks[0].allocated]
    assert used == [20 * MIB]


def test_lowest_address_wins_among_equal_sizes():
    allocator = CachingAllocator()
    handles = [allocator.allocate(20 * MIB) for _ in range(3)]
    for handle in reversed(handles):
        allocator.free(handle)
    allocator.allocate(20 * MIB)
    assert [s.blocks[0].allocated for s in segments_of(allocator)] == [True, False, False]


def test_any_cached_block_may_be_split_however_large():
    allocator = CachingAllocator()
    allocator.free(allocator.allocate(1000 * MIB))
    allocator.allocate(2 * MIB)
    assert allocator.reserved_bytes == 1000 * MIB


def test_freed_neighbours_merge_within_a_segment():
    allocator = CachingAllocator()
    handles = [allocator.allocate(5 * MIB) for _ in range(4)]
    for handle in (handles[0], handles[2], handles[1]):
        allocator.free(handle)
    (segment,) = segments_of(allocator)
    assert [(b.size_bytes, b.allocated) for b in segment.blocks] == [
        (15 * MIB, False),
        (5 * MIB, True),
    ]
    allocator.allocate(15 * MIB)
    assert allocator.reserved_bytes == 20 * MIB


def test_segments_never_merge_with_each_other():
    allocator = CachingAllocator()
    for handle in [allocator.allocate(10 * MIB) for _ in range(2)]:
        allocator.free(handle)
    allocator.allocate(20 * MIB)
    assert allocator.reserved_bytes == 40 * MIB


def test_at_the_capacity_free_segments_go_back_and_the_request_is_tried_again():
    allocator = CachingAllocator(40 * MIB)
    allocator.free(allocator.allocate(30 * MIB))
    allocator.allocate(36 * MIB)
    assert allocator.retries == 1
    assert allocator.reserved_bytes == 36 * MIB
    assert allocator.peak_reserved_bytes == 36 * MIB


def test_a_segment_in_use_does_not_go_back():
    allocator = CachingAllocator(40 * MIB)
    handles = [allocator.allocate(15 * MIB), allocator.allocate(2 * MIB)]
    allocator.free(handles[0])
    with pytest.raises(OutOfMemory) as caught:
        allocator.allocate(30 * MIB)
    assert caught.value.requested_bytes == 30 * MIB
    assert caught.value.in_use_bytes == 2 * MIB
    assert caught.value.capacity_bytes == 40 * MIB
    assert allocator.reserved_bytes == 20 * MIB


def test_out_of_memory_leaves_the_allocator_usable():
    allocator = CachingAllocator(20 * MIB)
    handle = allocator.allocate(20 * MIB)
    with pytest.raises(OutOfMemory):
        allocator.allocate(1)
    allocator.free(handle)
    allocator.allocate(1)
    assert allocator.allocated_bytes == 512
    assert allocator.retries == 2


def test_empty_cache_gives_back_what_holds_nothing():
    allocator = CachingAllocator()
    kept = allocator.allocate(1)
    allocator.free(allocator.allocate(50 * MIB))
    allocator.empty_cache()
    assert allocator.reserved_bytes == 2 * MIB
    allocator.free(kept)
    allocator.empty_cache()
    assert allocator.reserved_bytes == 0
    assert segments_of(allocator) == ()


def test_peaks_stay_when_memory_is_freed():
    allocator = CachingAllocator()
    allocator.free(allocator.allocate(50 * MIB - 100))
    allocator.empty_cache()
    assert allocator.peak_allocated_bytes == 50 * MIB
    assert allocator.peak_reserved_bytes == 50 * MIB
    assert allocator.allocated_bytes == 0


def test_what_is_not_in_use_cannot_be_freed():
    allocator = CachingAllocator()
    handle = allocator.allocate(1)
    allocator.free(handle)
    with pytest.raises(KeyError):
        allocator.free(handle)


def test_sizes_and_capacities_must_make_sense():
    with pytest.raises(InvalidValue):
        CachingAllocator().allocate(0)
    with pytest.raises(InvalidValue):
        CachingAllocator(-1)


def run(allocator, steps):
    """Play commands; yield the outcome of each."""
    handles = []
    for is_free, size_bytes, which in steps:
        if is_free and handles:
            allocator.free(handles.pop(which % len(handles)))
            yield "freed"
        else:
            try:
                handles.append(allocator.allocate(size_bytes))
                yield "allocated"
            except OutOfMemory:
                yield "oom"


def check_whole(allocator):
    """Assert that segments and blocks add up and do not overlap."""
    segments = segments_of(allocator)
    end = 0
    for segment in segments:
        for position, block in enumerate(segment.blocks):
            assert block.address >= end if position == 0 else block.address == end
            assert block.size_bytes > 0
            end = block.address + block.size_bytes
    blocks = [block for segment in segments for block in segment.blocks]
    allocated = sum(block.size_bytes for block in blocks if block.allocated)
    assert allocated == allocator.allocated_bytes
    assert sum(block.size_bytes for block in blocks) == allocator.reserved_bytes
    assert allocator.reserved_bytes >= allocator.allocated_bytes
    assert allocator.peak_reserved_bytes >= allocator.peak_allocated_bytes


@settings(max_examples=150, deadline=None)
@given(commands, capacities, st.booleans())
def test_nothing_overlaps_nothing_is_lost(steps, capacity, expandable):
    allocator = CachingAllocator(capacity, expandable_segments=expandable)
    for _ in run(allocator, steps):
        check_whole(allocator)
        if capacity is not None:
            assert allocator.peak_reserved_bytes <= capacity


@settings(max_examples=60, deadline=None)
@given(commands, capacities, st.booleans())
def test_no_two_free_neighbours_stay_apart(steps, capacity, expandable):
    allocator = CachingAllocator(capacity, expandable_segments=expandable)
    for _ in run(allocator, steps):
        for segment in segments_of(allocator):
            free = [not block.allocated for block in segment.blocks]
            assert not any(a and b for a, b in pairwise(free))


@settings(max_examples=60, deadline=None)
@given(commands, capacities, st.booleans())
def test_same_commands_same_answer(steps, capacity, expandable):
    first, second = (CachingAllocator(capacity, expandable_segments=expandable) for _ in range(2))
    assert list(run(first, steps)) == list(run(second, steps))
    assert segments_of(first) == segments_of(second)
    assert first.retries == second.retries


@settings(max_examples=60, deadline=None)
@given(commands, st.booleans())
def test_all_freed_and_emptied_is_empty(steps, expandable):
    allocator = CachingAllocator(expandable_segments=expandable)
    handles = [allocator.allocate(size_bytes) for _, size_bytes, _ in steps]
    for handle in handles:
        allocator.free(handle)
    allocator.empty_cache()
    assert allocator.reserved_bytes == 0
    assert segments_of(allocator) == ()


@dataclass
class Reference:
    """The same rules with lists that are searched from end to end."""

    capacity: int | None
    segments: list = field(default_factory=list)
    retries: int = 0
    taken: int = 0
    slots: dict = field(default_factory=dict)

    def reserved(self):
        return sum(size for blocks in self.segments for size, _ in blocks)

    def allocate(self, asked):
        size = round_request(asked)
        small = size <= MIB
        place = self._best(size, small) or self._grow(size)
        if place is None:
            self.retries += 1
            self.segments = [b for b in self.segments if len(b) > 1 or b[0][1] is not None]
            place = self._grow(size)
        if place is None:
            raise OutOfMemory(asked, 0, 0)
        blocks, index = place
        remainder = blocks[index][0] - size
        token = object()
        if remainder >= 512 if small else remainder > MIB:
            blocks[index : index + 1] = [[size, token], [remainder, None]]
        else:
            blocks[index][1] = token
        return token

    def free(self, token):
        for blocks in self.segments:
            for index, block in enumerate(blocks):
                if block[1] is token:
                    block[1] = None
                    self._merge(blocks, index)
                    return

    def _merge(self, blocks, index):
        for left in (index, index - 1):
            pair = blocks[left : left + 2] if left >= 0 else []
            if len(pair) == 2 and pair[0][1] is None and pair[1][1] is None:
                blocks[left : left + 2] = [[pair[0][0] + pair[1][0], None]]

    def _best(self, size, small):
        best = None
        for blocks in self.segments:
            if (sum(b[0] for b in blocks) == 2 * MIB) != small:
                continue
            for index, (room, token) in enumerate(blocks):
                fits = token is None and room >= size
                if fits and (best is None or room < best[0][best[1]][0]):
                    best = (blocks, index)
        return best

    def _grow(self, size):
        total = segment_bytes(size)
        if self.capacity is not None and self.reserved() + total > self.capacity:
            return None
        blocks = [[total, None]]
        self.taken += 1
        self.slots[id(blocks)] = (self.taken * 2654435769 % 2**32, blocks)
        self.segments.append(blocks)
        self.segments.sort(key=lambda segment: self.slots[id(segment)][0])
        return blocks, 0


@settings(max_examples=200, deadline=None)
@given(commands, capacities)
def test_it_does_what_the_plain_reference_does(steps, capacity):
    allocator, reference = CachingAllocator(capacity), Reference(capacity)
    for ours, plain in zip(run(allocator, steps), run(reference, steps), strict=True):
        assert ours == plain
        assert allocator.reserved_bytes == reference.reserved()
        assert allocator.retries == reference.retries
        shapes = [
            [(block.size_bytes, block.allocated) for block in segment.blocks]
            for segment in segments_of(allocator)
        ]
        assert shapes == [[(s, t is not None) for s, t in blocks] for blocks in reference.segments]
