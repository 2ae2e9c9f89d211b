"""Blocks, their neighbours and their lists."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorymark.simulator.allocator.blocks import (
    MIB,
    Block,
    BlockList,
    Pool,
    round_request,
    round_up,
    segment_bytes,
)

sizes = st.lists(st.integers(1, 50), max_size=30)


@given(st.integers(1, 2**40), st.integers(1, 2**25))
def test_rounding_goes_up_to_the_next_step_and_no_further(size, step):
    rounded = round_up(size, step)
    assert rounded % step == 0 and size <= rounded < size + step


@given(st.integers(1, 2**40))
def test_a_segment_holds_the_block_that_it_is_taken_for(size):
    block = round_request(size)
    assert block >= max(size, 512) and block % 512 == 0
    assert segment_bytes(block) >= block and segment_bytes(block) % (2 * MIB) == 0


@given(sizes, st.integers(1, 60))
def test_a_list_is_in_order_of_size_then_address(lengths, least):
    pool, blocks = Pool(is_small=True), BlockList()
    made = [Block(pool, address, length) for address, length in enumerate(lengths)]
    for block in made:
        blocks.add(block)
    ordered = sorted(made, key=lambda block: (block.size_bytes, block.address))
    assert list(blocks) == ordered and len(blocks) == len(lengths)
    assert list(blocks.at_least(least)) == [b for b in ordered if b.size_bytes >= least]
    fitting = next(iter(blocks.at_least(least)), None)
    assert blocks.take_smallest(least) is fitting
    for block in made:
        if block is not fitting:
            blocks.remove(block)
    assert len(blocks) == 0


def in_a_row(*lengths):
    """Return neighbouring free blocks, all on their pool's list."""
    pool = Pool(is_small=False)
    blocks = [Block(pool, 0, sum(lengths))]
    for length in lengths[:-1]:
        blocks.append(blocks[-1].cut(length))
    for block in blocks:
        pool.free.add(block)
    return pool, blocks


@given(st.lists(st.integers(1, 100), min_size=2, max_size=6))
def test_cut_blocks_lie_side_by_side(lengths):
    _, blocks = in_a_row(*lengths)
    assert [block.size_bytes for block in blocks] == lengths
    for before, after in pairwise(blocks):
        assert before.after is after and after.before is before
        assert before.address + before.size_bytes == after.address


def test_a_freed_block_merges_with_free_neighbours():
    pool, (first, second, third) = in_a_row(10, 20, 30)
    pool.free.remove(second)
    second.absorb_neighbours()
    assert (second.address, second.size_bytes) == (0, 60)
    assert second.is_whole_segment and len(pool.free) == 0
    assert not first.is_whole_segment and not third.is_whole_segment


@pytest.mark.parametrize("change", ["allocated", "mapped"])
def test_neighbours_in_another_state_stay_apart(change):
    pool, (first, second, third) = in_a_row(10, 20, 30)
    for block in (first, second, third):
        pool.free.remove(block)
    for block in (first, third):
        setattr(block, change, change == "allocated")
    second.absorb_neighbours()
    assert second.size_bytes == 20 and second.before is first and second.after is third


def test_a_block_stands_on_the_list_of_its_state():
    pool, (block, _) = in_a_row(10, 20)
    assert block.list is pool.free
    block.mapped = False
    assert block.list is pool.unmapped


def test_pages_are_those_of_the_pool():
    assert (Pool(is_small=True).page_bytes, Pool(is_small=False).page_bytes) == (2 * MIB, 20 * MIB)
