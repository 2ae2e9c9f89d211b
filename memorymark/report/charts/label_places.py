"""Finds places for the names of points, so that none covers another name or a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

CHARACTER = 6.6  # pixels: a wide guess at the mean width of a letter at this size
LINE = 14
_POINT = 7
_GAP = 9
_STRIDE = 4


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether two boxes share any area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def is_within(self, width: float, height: float) -> bool:
        """Return whether the box lies within a plot of this size."""
        return self.left >= 0 and self.top >= 0 and self.right <= width and self.bottom <= height


@dataclass(frozen=True)
class Place:
    """Where a name is written: its distance from its point in pixels, and how it is aligned."""

    align: str
    dx: float
    dy: float


_PLACES = (
    Place("left", _GAP, 0), Place("right", -_GAP, 0), Place("center", 0, -14),
    Place("center", 0, 14), Place("left", _GAP, -11), Place("right", -_GAP, -11),
    Place("left", _GAP, 11), Place("right", -_GAP, 11),
)  # fmt: skip


def box_of(name: str, point: tuple[float, float], place: Place) -> Box:
    """Return what a name covers when it is written at a place beside its point."""
    wide = len(name) * CHARACTER
    start = {"left": 0.0, "right": wide, "center": wide / 2}[place.align]
    left, middle = point[0] + place.dx - start, point[1] + place.dy
    return Box(left, middle - LINE / 2, left + wide, middle + LINE / 2)


def label_places(
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    width: float,
    height: float,
    line: Sequence[tuple[float, float]] = (),
) -> list[Place | None]:
    """Place names beside their points, the first ones first; None where there is no room.

    Args:
        names: What is written at each point, the most important first.
        points: Where the points are in the plot, in pixels.
        width: The plot's width in pixels.
        height: Its height.
        line: The corners of a line that no name may cover.
    """
    taken = [Box(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in points]
    crossed = _boxes_along(line)
    found: list[Place | None] = []
    for number, (name, point) in enumerate(zip(names, points, strict=True)):
        others = [*taken[:number], *taken[number + 1 :], *crossed]
        place = next(
            (
                place
                for place in _PLACES
                if (box := box_of(name, point, place)).is_within(width, height)
                and not any(box.meets(other) for other in others)
            ),
            None,
        )
        found.append(place)
        if place is not None:
            taken.append(box_of(name, point, place))
    return found


def _boxes_along(line: Sequence[tuple[float, float]]) -> list[Box]:
    """Return small boxes that follow a line from corner to corner."""
    boxes = []
    for (x, y), (to_x, to_y) in pairwise(line):
        count = max(int(max(abs(to_x - x), abs(to_y - y)) / _STRIDE), 1)
        for number in range(count + 1):
            at_x, at_y = x + (to_x - x) * number / count, y + (to_y - y) * number / count
            boxes.append(Box(at_x - 1, at_y - 1, at_x + 1, at_y + 1))
    return boxes
