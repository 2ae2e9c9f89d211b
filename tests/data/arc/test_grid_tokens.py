"""Grids go to tokens and back exactly, and damaged tokens are no grid."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from memorymark.data.arc.arc_tasks import Example
from memorymark.data.arc.grid_tokens import (
    GRID_END,
    INPUT,
    MOST_GRID_TOKENS,
    OUTPUT,
    TOKENS,
    begins_a_grid,
    example_count,
    example_tokens,
    grid_count,
    grid_of,
    grid_tokens,
    question_tokens,
)

UNHURRIED = settings(deadline=None)

SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=30)
GRIDS = arrays.arrays(np.uint8, SHAPES, elements=st.integers(0, 9))


@given(grid=GRIDS)
@UNHURRIED
def test_the_way_there_and_back_is_exact(grid):
    tokens = grid_tokens(grid)
    back = grid_of(tokens.tolist())
    assert back.dtype == np.uint8 and np.array_equal(back, grid)
    assert len(tokens) == grid_count(grid) <= MOST_GRID_TOKENS
    assert tokens.min() >= 0 and tokens.max() < TOKENS


@given(grid=GRIDS)
@UNHURRIED
def test_what_goes_on_to_be_a_grid_begins_one(grid):
    tokens = grid_tokens(grid).tolist()
    for end in range(0, len(tokens), 1 + len(tokens) // 20):
        assert begins_a_grid(tokens[:end]) and grid_of(tokens[:end]) is None
    assert begins_a_grid(tokens) and not begins_a_grid([*tokens, 1])


@given(tokens=st.lists(st.integers(-3, 40) | st.sampled_from([1, 10, 13]), max_size=40))
@UNHURRIED
def test_any_tokens_are_a_grid_or_none(tokens):
    found = grid_of(tokens)
    if found is not None:
        assert grid_tokens(found).tolist() == tokens
    ends = [*tokens, GRID_END]
    if not begins_a_grid(tokens):
        assert grid_of(ends) is None


@given(grid=GRIDS, place=st.integers(0, 10**6), token=st.integers(0, TOKENS - 1))
@UNHURRIED
def test_one_damaged_token_never_raises(grid, place, token):
    tokens = grid_tokens(grid).tolist()
    tokens[place % len(tokens)] = token
    found = grid_of(tokens)
    assert found is None or grid_tokens(found).tolist() == tokens


def test_an_example_stands_between_its_marks():
    example = Example(np.array([[1]], dtype=np.uint8), np.array([[2, 3]], dtype=np.uint8))
    before, output = example_tokens(example)
    assert before.tolist() == [INPUT, 1, 10, GRID_END, OUTPUT]
    assert output.tolist() == [2, 3, 10, GRID_END]
    assert example_count(example) == len(before) + len(output)
    assert question_tokens(example.input).tolist() == before.tolist()
