"""Simple tasks that are made, not read: one rule each, for pretraining and for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from memorymark.data.arc.arc_sequences import as_batch, in_sequence
from memorymark.data.arc.arc_tasks import COLOURS, LONGEST_SIDE, Example, Grid, Task
from memorymark.data.arc.augment import BACKGROUND
from memorymark.errors import InvalidValue, UnknownChoice

# A rule, drawn for one task: what becomes of a grid.
Rule = Callable[[Grid], Grid]
_PALETTE = 4  # colours of one task, so that a few examples show what becomes of each
_MOST_DRAWS = 1000


def generated_task(
    number: int,
    seed: int = 1,
    *,
    kinds: Sequence[str] = (),
    sides: tuple[int, int] = (2, 4),
    shown: int = 4,
) -> Task:
    """Return one task, which depends on its arguments alone.

    Args:
        number: Number of the task.
        seed: Seed of all of them.
        kinds: Names of KINDS to draw from; none of them means all.
        sides: The shortest and the longest side of an input.
        shown: Examples that are shown; one grid is asked.

    Raises:
        UnknownChoice: There is no such kind.
        InvalidValue: Sides are out of range.

    Example:
        >>> task = generated_task(7, kinds=["mirror"], sides=(3, 3))
        >>> bool((np.fliplr(task.test[0].input) == task.test[0].output).all())
        True
    """
    _check(kinds, sides)
    random = np.random.default_rng([seed, number])
    kind = str(random.choice(list(kinds or KINDS)))
    palette = 1 + random.permutation(COLOURS - 1)[:_PALETTE]
    draw_rule, draw_grid = KINDS[kind]
    rule = draw_rule(random, palette)
    for _ in range(_MOST_DRAWS):
        grids = [draw_grid(random, palette, sides) for _ in range(shown + 1)]
        *examples, asked = [Example(grid, rule(grid)) for grid in grids]
        if _says_enough(examples, asked):
            break
    return Task(f"{kind}-{number}", tuple(examples), (asked,))


def generated_tasks(count: int, seed: int = 1, **how: object) -> tuple[Task, ...]:
    """Return the first tasks of a seed; see `generated_task` for what else is given."""
    return tuple(generated_task(number, seed, **how) for number in range(count))


class GeneratedSamples:
    """Generated tasks as sequences, for pretraining: Samples.

    Args:
        size: How many tasks one epoch has.
        seed: Seed of all of them.
        how: What `generated_task` takes beside.
    """

    tokens_per_sample = None

    def __init__(self, size: int, seed: int, **how: object) -> None:
        self._size, self._seed, self._how = size, seed, how

    def __len__(self) -> int:
        return self._size

    def read(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return tasks by their numbers as sequences, padded to the longest of them."""
        tasks = [generated_task(int(each), self._seed, **self._how) for each in indices]
        return as_batch(in_sequence([*task.train, *task.test]) for task in tasks)


def _check(kinds: Sequence[str], sides: tuple[int, int]) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise UnknownChoice("kind of task", kind, KINDS)
    if not 2 <= sides[0] <= sides[1] <= LONGEST_SIDE:
        accepted = f"a shortest and a longest side, from 2 to {LONGEST_SIDE}"
        raise InvalidValue("sides", sides, accepted)


def _says_enough(examples: Sequence[Example], asked: Example) -> bool:
    """Return whether what is shown says what becomes of each colour, and something changes."""
    known = set(np.concatenate([each.input.ravel() for each in examples]).tolist())
    changes = any(not np.array_equal(each.input, each.output) for each in examples)
    return changes and set(asked.input.ravel().tolist()) <= known


def _full(random: np.random.Generator, palette: np.ndarray, sides: tuple[int, int]) -> Grid:
    """Draw a grid whose cells all have colours."""
    shape = random.integers(sides[0], sides[1] + 1, size=2)
    return random.choice(palette, size=shape).astype(np.uint8)


def _sparse(random: np.random.Generator, palette: np.ndarray, sides: tuple[int, int]) -> Grid:
    """Draw a grid of which about half is background."""
    grid = _full(random, palette, sides)
    grid[random.random(grid.shape) < 0.5] = BACKGROUND
    return grid


def _with_object(random: np.random.Generator, palette: np.ndarray, sides: tuple[int, int]) -> Grid:
    """Draw a grid with one rectangle on the background, smaller than the grid."""
    rows, columns = random.integers(max(sides[0], 2), sides[1] + 1, size=2)
    grid = np.full((rows, columns), BACKGROUND, dtype=np.uint8)
    height, width = int(random.integers(1, rows)), int(random.integers(1, columns + 1))
    top = int(random.integers(rows - height + 1))
    left = int(random.integers(columns - width + 1))
    grid[top : top + height, left : left + width] = random.choice(palette, size=(height, width))
    return grid


def _recolour(random: np.random.Generator, palette: np.ndarray) -> Rule:
    table = np.arange(COLOURS, dtype=np.uint8)
    table[palette] = np.roll(palette, 1 + int(random.integers(len(palette) - 1)))
    return lambda grid: table[grid]


def _fixed(change: Rule) -> Callable[[np.random.Generator, np.ndarray], Rule]:
    return lambda random, palette: lambda grid: np.ascontiguousarray(change(grid))


def _rotate(random: np.random.Generator, palette: np.ndarray) -> Rule:
    turns = 1 + int(random.integers(3))
    return lambda grid: np.ascontiguousarray(np.rot90(grid, turns))


def _move(random: np.random.Generator, palette: np.ndarray) -> Rule:
    """What leaves the grid on one side comes back on the other."""
    axis = int(random.integers(2))
    step = 1 if random.integers(2) else -1
    return lambda grid: np.roll(grid, step, axis)


def _fill(random: np.random.Generator, palette: np.ndarray) -> Rule:
    colour = np.uint8(random.choice(np.setdiff1d(np.arange(1, COLOURS), palette)))
    return lambda grid: np.where(grid == BACKGROUND, colour, grid).astype(np.uint8)


def _crop(grid: Grid) -> Grid:
    rows, columns = np.nonzero(grid != BACKGROUND)
    return grid[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


KINDS: dict[str, tuple[Callable[..., Rule], Callable[..., Grid]]] = {
    "recolour": (_recolour, _full),
    "mirror": (_fixed(np.fliplr), _full),
    "flip": (_fixed(np.flipud), _full),
    "transpose": (_fixed(np.transpose), _full),
    "rotate": (_rotate, _full),
    "move": (_move, _full),
    "fill": (_fill, _sparse),
    "crop": (_fixed(_crop), _with_object),
}
"""Kinds of tasks: what draws a rule for a task, and what draws its grids."""
