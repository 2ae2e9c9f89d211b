"""The training set of a task: its examples alone, each asked in its turn, as long as allowed."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.data.arc.arc_sequences import NOT_LEARNED, as_batch, in_sequence
from memorymark.data.arc.arc_tasks import Example, Task
from memorymark.data.arc.generated_tasks import generated_task
from memorymark.data.arc.grid_tokens import (
    GRID_END,
    INPUT,
    OUTPUT,
    PADDING,
    example_count,
    grid_of,
    grid_tokens,
)
from memorymark.data.arc.leave_one_out import LeaveOneOut, prompt_of
from memorymark.errors import WorkloadError

UNHURRIED = settings(deadline=None)


def grid(rows, columns, colour=1):
    return np.full((rows, columns), colour, dtype=np.uint8)


def task_of(*shapes):
    train = tuple(Example(grid(*shape, index), grid(1, 1, index))
                  for index, shape in enumerate(shapes, 1))  # fmt: skip
    return Task("made", train, (Example(grid(2, 2, 9), grid(3, 3, 9)),))


def examples_in(tokens):
    """Cut a sequence into its examples again."""
    starts = [*np.flatnonzero(tokens == INPUT), len(tokens)]
    for start, end in itertools.pairwise(starts):
        part = tokens[start + 1 : end]
        middle = int(np.flatnonzero(part == OUTPUT)[0])
        output = part[middle + 1 :]
        stop = int(np.flatnonzero(output == GRID_END)[0]) + 1
        yield Example(grid_of(part[:middle].tolist()), grid_of(output[:stop].tolist()))


def test_each_example_is_asked_in_its_turn_and_the_others_are_shown():
    task = task_of((2, 2), (3, 3), (4, 4))
    samples = LeaveOneOut(task, 6, 400, seed=1)
    asked = []
    for number in range(6):
        found = list(examples_in(samples.sequence(number).tokens))
        sizes = sorted(example.input.size for example in found)
        assert sizes == [4, 9, 16]
        asked.append(found[-1].input.size)
    assert asked == [4, 9, 16, 4, 9, 16]
    assert len(samples) == 6 and samples.left_out == "" and samples.tokens_per_sample is None


def test_the_first_sequences_are_unchanged_and_later_ones_keep_the_background():
    task = generated_task(3, kinds=["mirror"])
    samples = LeaveOneOut(task, 100, 400, seed=5)
    known = {each.input.tobytes() for each in task.train}
    first = list(examples_in(samples.sequence(0).tokens))
    assert {each.input.tobytes() for each in first} == known
    for number in range(3, 20):
        for each in examples_in(samples.sequence(number).tokens):
            mirrored = [np.fliplr(each.input), np.flipud(each.input)]
            assert any(np.array_equal(each.output, grid) for grid in mirrored)


@given(seed=st.integers(0, 2**31 - 1), number=st.integers(0, 10**6))
@UNHURRIED
def test_a_sequence_depends_on_its_number_and_the_seed_alone(seed, number):
    task = generated_task(1)
    one, other = (LeaveOneOut(task, 10, 300, seed) for _ in range(2))
    other.read([3])
    assert np.array_equal(one.sequence(number).tokens, other.sequence(number).tokens)


def test_answers_of_the_task_are_never_read():
    task = task_of((2, 2), (3, 3))
    samples = LeaveOneOut(task, 50, 400, seed=1, colours=False)
    assert not any(9 in samples.sequence(number).tokens for number in range(50))


def test_learned_is_each_output_after_the_first_example():
    task = task_of((1, 2), (1, 2), (1, 2))
    tokens, labels = in_sequence(task.train)
    outputs = [grid_tokens(each.output).tolist() for each in task.train[1:]]
    assert labels[labels != NOT_LEARNED].tolist() == [each for part in outputs for each in part]
    assert np.array_equal(tokens[labels != NOT_LEARNED], labels[labels != NOT_LEARNED])
    alone = in_sequence(task.train[:1])
    assert (alone.labels != NOT_LEARNED).sum() == len(outputs[0])


def test_a_batch_is_filled_up_at_the_ends():
    task = task_of((1, 2), (1, 4))
    batch = as_batch([in_sequence(task.train[:1]), in_sequence(task.train)], 40)
    assert {name: each.shape for name, each in batch.items()} == {
        "input_ids": (2, 40), "attention_mask": (2, 40), "labels": (2, 40),
    }  # fmt: skip
    assert all(each.dtype == np.int64 and each.flags.c_contiguous for each in batch.values())
    rest = batch["attention_mask"] == 0
    assert (batch["input_ids"][rest] == PADDING).all()
    assert (batch["labels"][rest] == NOT_LEARNED).all()
    assert batch["attention_mask"].sum(axis=1).tolist() == [
        example_count(task.train[0]), sum(map(example_count, task.train)),
    ]  # fmt: skip


@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5),
    seq_len=st.integers(10, 300),
)
@UNHURRIED
def test_no_sequence_is_longer_than_allowed(shapes, seq_len):
    task = task_of(*shapes)
    try:
        samples = LeaveOneOut(task, 40, seq_len, seed=1)
    except WorkloadError as error:
        assert "Give a longer --seq-len" in str(error)
        return
    for number in range(40):
        assert 0 < len(samples.sequence(number).tokens) <= seq_len
    assert samples.read([0, 1, 2])["input_ids"].shape[1] <= seq_len
    total = sum(example_count(each) for each in task.train)
    assert bool(samples.left_out) == (total > seq_len)


def test_all_batches_of_a_task_have_one_size():
    task = task_of((1, 5), (7, 2), (3, 3))
    samples = LeaveOneOut(task, 60, 500, seed=1)
    widths = {samples.read([each])["input_ids"].shape[1] for each in range(60)}
    assert len(widths) == 1


def test_what_is_left_out_is_said():
    said = LeaveOneOut(task_of((2, 2), (2, 3), (9, 9)), 5, 100, seed=1).left_out
    assert "a sequence at most 100: not all are shown at once; 1 of 3 are too long" in said


def test_a_prompt_shows_the_examples_and_leaves_room_for_the_answer():
    task = task_of((2, 2), (3, 3), (4, 4))
    asked = task.test[0].input
    whole = prompt_of(task, asked, 400)
    assert whole.shown == 3 and whole.tokens[-1] == OUTPUT
    assert whole.room == 400 - len(whole.tokens)
    assert prompt_of(task, asked, 400, most=2).shown == 2
    short = prompt_of(task, asked, 60)
    assert 1 <= short.shown < 3 and len(short.tokens) + short.room == 60
    assert prompt_of(task, asked, 15) is None
