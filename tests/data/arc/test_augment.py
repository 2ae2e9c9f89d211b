"""Each change of a task has its inverse, and the symmetries are those of the square."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from memorymark.data.arc.arc_tasks import Example
from memorymark.data.arc.augment import SYMMETRIES, Change, drawn_change

UNHURRIED = settings(deadline=None)

SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=8)
GRIDS = arrays.arrays(np.uint8, SHAPES, elements=st.integers(0, 9))
CHANGES = st.builds(
    lambda turns, is_mirrored, colours: Change(turns, is_mirrored, tuple(colours)),
    st.integers(0, 3), st.booleans(), st.permutations(range(10)),
)  # fmt: skip


@given(grid=GRIDS, change=CHANGES)
@UNHURRIED
def test_the_inverse_undoes_a_change_and_is_undone_by_it(grid, change):
    assert np.array_equal(change.inverse.of(change.of(grid)), grid)
    assert np.array_equal(change.of(change.inverse.of(grid)), grid)
    assert change.of(grid).dtype == np.uint8


@given(grid=GRIDS)
@UNHURRIED
def test_nothing_changes_nothing(grid):
    assert np.array_equal(Change.NOTHING.of(grid), grid)
    assert Change.NOTHING.inverse == Change.NOTHING


def test_there_are_eight_symmetries():
    grid = np.arange(6, dtype=np.uint8).reshape(2, 3)
    found = {
        (changed.shape, changed.tobytes())
        for turns in range(4)
        for mirrored in (False, True)
        for changed in [Change(turns, mirrored).of(grid)]
    }
    assert len(found) == SYMMETRIES


def test_both_grids_of_an_example_change_alike():
    grid = np.array([[1, 2], [3, 4]], dtype=np.uint8)
    example = Change(turns=2).of_example(Example(grid, np.fliplr(grid)))
    assert np.array_equal(np.fliplr(example.input), example.output)


@given(seed=st.integers(0, 10**6), symmetries=st.booleans(), colours=st.booleans())
@UNHURRIED
def test_what_is_drawn_is_what_was_asked_for(seed, symmetries, colours):
    def drawn(**more):
        random = np.random.default_rng(seed)
        return drawn_change(random, symmetries=symmetries, colours=colours, **more)

    change = drawn()
    assert change == drawn() and change.colours[0] == 0
    assert sorted(change.colours) == list(range(10))
    if not symmetries:
        assert (change.turns, change.is_mirrored) == (0, False)
    if not colours:
        assert change.colours == tuple(range(10))


@pytest.mark.parametrize("keeps", [True, False])
def test_the_background_stays_where_it_is_to(keeps):
    random = np.random.default_rng(1)
    first = {drawn_change(random, keeps_background=keeps).colours[0] for _ in range(200)}
    assert first == ({0} if keeps else set(range(10)))
