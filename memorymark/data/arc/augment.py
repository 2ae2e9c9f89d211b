"""Changes of a task that keep what it is about, each with its inverse.

The eight symmetries of the square and permutations of the colours: those of test-time training
(Akyürek et al. 2024, arXiv 2411.07279) that can be undone without loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from memorymark.data.arc.arc_tasks import COLOURS, Example, Grid

BACKGROUND = 0
SYMMETRIES = 8
_NO_CHANGE = tuple(range(COLOURS))


@dataclass(frozen=True)
class Change:
    """A symmetry of the square, then a permutation of the colours.

    Attributes:
        turns: Quarter turns, from 0 to 3.
        is_mirrored: Whether the grid is mirrored, left to right, before it is turned.
        colours: What each colour becomes.

    Example:
        >>> Change(turns=1).of(np.array([[1, 2]], dtype=np.uint8)).tolist()
        [[2], [1]]
    """

    NOTHING: ClassVar[Change]

    turns: int = 0
    is_mirrored: bool = False
    colours: tuple[int, ...] = _NO_CHANGE

    def of(self, grid: Grid) -> Grid:
        """Return a grid changed."""
        turned = np.rot90(np.fliplr(grid) if self.is_mirrored else grid, self.turns)
        return np.array(self.colours, dtype=np.uint8)[turned]

    def of_example(self, example: Example) -> Example:
        """Return an example with both grids changed alike."""
        return Example(self.of(example.input), self.of(example.output))

    @property
    def inverse(self) -> Change:
        """What undoes it; a mirrored turn undoes itself."""
        turns = self.turns if self.is_mirrored else -self.turns % 4
        colours = tuple(int(each) for each in np.argsort(self.colours))
        return Change(turns, self.is_mirrored, colours)


Change.NOTHING = Change()


def drawn_change(
    random: np.random.Generator,
    *,
    symmetries: bool = True,
    colours: bool = True,
    keeps_background: bool = True,
) -> Change:
    """Draw a change.

    Args:
        random: Draws.
        symmetries: Whether grids are turned and mirrored.
        colours: Whether colours are permuted.
        keeps_background: Whether colour 0, the background of most tasks, stays as it is.
    """
    number = int(random.integers(SYMMETRIES)) if symmetries else 0
    drawn = drawn_colours(random, keeps_background=keeps_background) if colours else _NO_CHANGE
    return Change(number % 4, number >= 4, drawn)


def drawn_colours(random: np.random.Generator, *, keeps_background: bool) -> tuple[int, ...]:
    """Draw a permutation of the colours."""
    first = BACKGROUND + 1 if keeps_background else 0
    moved = random.permutation(np.arange(first, COLOURS))
    return (*range(first), *map(int, moved))
