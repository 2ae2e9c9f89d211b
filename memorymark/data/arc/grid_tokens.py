"""Grids as tokens, and back.

Colours are tokens 0 to 9; a row ends with ROW_END, an input begins with INPUT, an output with
OUTPUT, and a grid ends with GRID_END. A model needs a vocabulary of TOKENS at least; what its own
tokenizer calls these numbers does not matter here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memorymark.data.arc.arc_tasks import COLOURS, LONGEST_SIDE, Example, Grid

ROW_END, INPUT, OUTPUT, GRID_END, PADDING = range(COLOURS, COLOURS + 5)
TOKENS = COLOURS + 5
MOST_GRID_TOKENS = LONGEST_SIDE * (LONGEST_SIDE + 1) + 1
"""Tokens of the largest grid with its end."""


def grid_tokens(grid: Grid) -> np.ndarray:
    """Return a grid's tokens, int64: its rows, each with its end, and the end of the grid.

    Example:
        >>> grid_tokens(np.array([[1, 2], [3, 4]])).tolist()
        [1, 2, 10, 3, 4, 10, 13]
    """
    rows = np.pad(grid.astype(np.int64), ((0, 0), (0, 1)), constant_values=ROW_END)
    return np.append(rows.ravel(), GRID_END)


def grid_of(tokens: Sequence[int]) -> Grid | None:
    """Return the grid of tokens that end with GRID_END; None where they are not one grid.

    Example:
        >>> grid_of([1, 2, 10, 3, 4, 10, 13]).tolist(), grid_of([1, 2, 10, 3, 10, 13])
        ([[1, 2], [3, 4]], None)
    """
    values = np.asarray(tokens, dtype=np.int64)
    if len(values) < 3 or values[-1] != GRID_END or not begins_a_grid(tokens):
        return None
    width = int(np.argmax(values == ROW_END)) + 1
    if (len(values) - 1) % width:
        return None
    return values[:-1].reshape(-1, width)[:, :-1].astype(np.uint8)


def begins_a_grid(tokens: Sequence[int]) -> bool:
    """Return whether tokens may go on to be a grid, or are one.

    Example:
        >>> begins_a_grid([1, 2, 10, 3]), begins_a_grid([1, 2, 10, 3, 10])
        (True, False)
    """
    width = height = column = 0
    for index, token in enumerate(tokens):
        if token == GRID_END:
            return height > 0 and column == 0 and index == len(tokens) - 1
        if token == ROW_END:
            if column == 0 or column != (width or column):
                return False
            width, height, column = column, height + 1, 0
            continue
        is_full = height == LONGEST_SIDE or column == (width or LONGEST_SIDE)
        if is_full or not 0 <= token < COLOURS:
            return False
        column += 1
    return True


def example_tokens(example: Example) -> tuple[np.ndarray, np.ndarray]:
    """Return an example's tokens up to where its output begins, and those of its output."""
    return question_tokens(example.input), grid_tokens(example.output)


def question_tokens(grid: Grid) -> np.ndarray:
    """Return the tokens of an input, up to where its output begins."""
    return np.concatenate([[INPUT], grid_tokens(grid), [OUTPUT]])


def example_count(example: Example) -> int:
    """Return how many tokens an example has."""
    return grid_count(example.input) + grid_count(example.output) + 2


def grid_count(grid: Grid) -> int:
    """Return how many tokens a grid has with its end."""
    rows, columns = grid.shape
    return rows * (columns + 1) + 1
