"""Generated tasks follow their rule, say enough to find it, and are the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.data.arc.arc_sequences import NOT_LEARNED
from memorymark.data.arc.generated_tasks import (
    KINDS,
    GeneratedSamples,
    generated_task,
    generated_tasks,
)
from memorymark.errors import InvalidValue, UnknownChoice

RULES = {
    "mirror": np.fliplr,
    "flip": np.flipud,
    "transpose": np.transpose,
}


def examples(task):
    return (*task.train, *task.test)


@pytest.mark.parametrize("kind", KINDS)
@given(number=st.integers(0, 10**6), side=st.integers(2, 6))
@settings(max_examples=15, deadline=None)
def test_a_task_is_one_of_arc(kind, number, side):
    task = generated_task(number, kinds=[kind], sides=(2, side))
    again = generated_task(number, kinds=[kind], sides=(2, side))
    assert task.name == f"{kind}-{number}" == again.name
    assert len(task.train) == 4 and len(task.test) == 1
    for one, other in zip(examples(task), examples(again), strict=True):
        assert np.array_equal(one.input, other.input)
        assert np.array_equal(one.output, other.output)
        for grid in (one.input, one.output):
            assert grid.dtype == np.uint8 and grid.max() <= 9 and min(grid.shape) >= 1
        assert max(one.input.shape) <= side


@pytest.mark.parametrize("kind", RULES)
def test_simple_rules_are_what_they_are_called(kind):
    for number in range(20):
        for each in examples(generated_task(number, kinds=[kind])):
            assert np.array_equal(RULES[kind](each.input), each.output)


@pytest.mark.parametrize("kind", ["recolour", "fill"])
def test_one_table_of_colours_holds_for_all_examples(kind):
    for number in range(20):
        pairs = set()
        for each in examples(generated_task(number, kinds=[kind])):
            pairs |= set(zip(each.input.ravel().tolist(), each.output.ravel().tolist(),
                             strict=True))  # fmt: skip
        assert len({before for before, _ in pairs}) == len(pairs)


def test_turned_moved_and_cropped_grids_keep_their_cells():
    for kind in ("rotate", "move"):
        for each in examples(generated_task(1, kinds=[kind])):
            assert sorted(each.input.ravel()) == sorted(each.output.ravel())
    for each in examples(generated_task(1, kinds=["crop"], sides=(4, 5))):
        assert each.output.size < each.input.size and (each.output > 0).all()


def test_different_numbers_and_seeds_are_different_tasks():
    inputs = {generated_task(number).test[0].input.tobytes() for number in range(30)}
    other = {each.test[0].input.tobytes() for each in generated_tasks(30, 2)}
    assert len(inputs) > 25 and len(inputs & other) < 5


def test_samples_are_whole_tasks_in_which_the_last_answer_is_learned():
    samples = GeneratedSamples(10, 1, kinds=["mirror"], sides=(3, 3))
    batch = samples.read([0, 4])
    assert len(samples) == 10 and batch["input_ids"].shape == (2, 5 * 28)
    assert (batch["labels"] != NOT_LEARNED).sum(axis=1).tolist() == [4 * 13, 4 * 13]


def test_what_cannot_be_made_is_refused():
    with pytest.raises(UnknownChoice, match="Did you mean 'mirror'"):
        generated_task(1, kinds=["miror"])
    with pytest.raises(InvalidValue, match="from 2 to 30"):
        generated_task(1, sides=(1, 3))
