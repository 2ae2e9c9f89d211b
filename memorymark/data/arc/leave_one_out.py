"""The training set of test-time training: a task's own examples, each left out in its turn.

One example is asked, the others are shown before it, in a drawn order and changed alike (Akyürek
et al. 2024, arXiv 2411.07279, section 3). A task's own answers are never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memorymark.data.arc.arc_sequences import Sequenced, as_batch, in_sequence
from memorymark.data.arc.arc_tasks import Example, Grid, Task
from memorymark.data.arc.augment import Change, drawn_change
from memorymark.data.arc.grid_tokens import (
    MOST_GRID_TOKENS,
    example_count,
    grid_count,
    question_tokens,
)
from memorymark.errors import WorkloadError, quoted


class LeaveOneOut:
    """Sequences in which each example of a task is asked in its turn: Samples.

    A sequence depends on its number and the seed alone. The first ones, one for each example, are
    unchanged. Where a sequence would be too long, the last of those that are shown are left out.

    Args:
        task: The task.
        size: How many sequences one epoch has.
        seq_len: Tokens of the longest sequence.
        seed: Seed of orders and changes.
        symmetries: Whether grids are turned and mirrored.
        colours: Whether colours other than the background are permuted.

    Attributes:
        left_out: Says what does not fit; empty where all does.

    Raises:
        WorkloadError: None of its examples fits.
    """

    tokens_per_sample = None

    def __init__(
        self,
        task: Task,
        size: int,
        seq_len: int,
        seed: int,
        *,
        symmetries: bool = True,
        colours: bool = True,
    ) -> None:
        self._task, self._size, self._seq_len, self._seed = task, size, seq_len, seed
        self._drawn = {"symmetries": symmetries, "colours": colours}
        self._asked = _that_fit(task, seq_len)
        self._longest = min(seq_len, _longest(task))
        self.left_out = _left_out(task, self._asked, seq_len)

    def __len__(self) -> int:
        return self._size

    def read(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return sequences by their numbers, all as long as the longest that there may be.

        So each step takes the same memory.
        """
        return as_batch(map(self.sequence, indices), self._longest)

    def sequence(self, number: int) -> Sequenced:
        """Return one sequence."""
        random = np.random.default_rng([self._seed, number])
        turn, place = divmod(number, len(self._asked))
        asked = self._asked[place]
        order = random.permutation(len(self._task.train))
        change = drawn_change(random, **self._drawn) if turn else Change.NOTHING
        found = self._changed(change, asked, order)
        # A wide grid has more rows, and so more tokens, when it is turned.
        return in_sequence(found or self._changed(Change.NOTHING, asked, order) or [])

    def _changed(self, change: Change, asked: int, order: np.ndarray) -> list[Example] | None:
        """Return the examples, the one that is asked last; None where they do not fit."""
        changed = [change.of_example(each) for each in self._task.train]
        others = [changed[index] for index in order if index != asked]
        room = self._seq_len - example_count(changed[asked])
        shown = _first_within(others, room)
        if others and not shown:
            shown = [min(others, key=example_count)]
            if example_count(shown[0]) > room:
                return None
        return None if room < 0 else [*shown, changed[asked]]


@dataclass(frozen=True, eq=False)
class Prompt:
    """What a model reads before it answers.

    Attributes:
        tokens: The examples that are shown and the grid that is asked, int64.
        shown: How many examples are shown.
        room: How many tokens the answer may have.
    """

    tokens: np.ndarray
    shown: int
    room: int


def prompt_of(task: Task, asked: Grid, seq_len: int, most: int | None = None) -> Prompt | None:
    """Return what is read for a test grid; None where nothing can be shown before it.

    There is room for an answer as large as the largest output that is shown, or as the grid
    itself; examples are left out, the last first, where there would be none.

    Args:
        task: The task.
        asked: The grid.
        seq_len: Tokens of the longest sequence, the answer included.
        most: The most examples that are shown; None shows all.
    """
    question = question_tokens(asked)
    answer = max(grid_count(asked), *(grid_count(each.output) for each in task.train))
    room = seq_len - len(question) - answer
    shown = _first_within(task.train[:most], room)
    if not shown:
        return None
    tokens = np.concatenate([in_sequence(shown).tokens, question])
    return Prompt(tokens, len(shown), min(MOST_GRID_TOKENS, seq_len - len(tokens)))


def _that_fit(task: Task, seq_len: int) -> list[int]:
    """Return which examples can be asked, with one other before it where there is another."""
    counts = [example_count(each) for each in task.train]
    found = []
    for index, count in enumerate(counts):
        others = counts[:index] + counts[index + 1 :]
        if count + min(others, default=0) <= seq_len:
            found.append(index)
    if not found:
        raise WorkloadError(
            f"No example of the task {quoted(task.name)} fits within {seq_len:,} tokens with "
            f"another one before it; the shortest has {min(counts):,}. Give a longer --seq-len."
        )
    return found


def _first_within(examples: Sequence[Example], room: int) -> list[Example]:
    """Return the first examples that have so many tokens at most together."""
    ends = np.cumsum([example_count(each) for each in examples])
    return list(examples[: int(np.searchsorted(ends, room, side="right"))])


def _longest(task: Task) -> int:
    """Return how many tokens all examples may have together, however they are turned."""
    return sum(
        2 + sum(grid.size + max(grid.shape) + 1 for grid in (each.input, each.output))
        for each in task.train
    )


def _left_out(task: Task, asked: list[int], seq_len: int) -> str:
    counts = [example_count(each) for each in task.train]
    if sum(counts) <= seq_len:
        return ""
    never = len(counts) - len(asked)
    words = f"; {never} of {len(counts)} are too long to be asked" if never else ""
    return (
        f"All {len(counts)} examples together have {sum(counts):,} tokens, and a sequence at most "
        f"{seq_len:,}: not all are shown at once{words}."
    )
