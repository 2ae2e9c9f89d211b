"""Scores the range of a CNN's peak on families and cards that its constants were not chosen on.

    python benchmarks/held_out.py

For each family of nets, and for each card, the two constants of the range (how far measured peaks
scatter, and where its middle lies) are chosen on the other rows of ground_truth/, and the range is
scored on the rows that were left out. The rule's form, as its plans, was chosen with all rows in
sight: nothing here is blind to that.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from unittest import mock

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from accuracy import score
from rows import CNN_WORKSPACES, Row, load_rows

from memorymark.simulator import reserved_range
from memorymark.simulator.reserved_range import PlayedPlans

WIDEST = 0.08
"""What the median width of the ranges has to stay below."""

_SCATTERS = [step / 2000 for step in range(50, 96)]
_SHIFTS = [step / 400 for step in range(-8, 9)]


@dataclass(frozen=True)
class Measured:
    """One CNN that ran: its row, and what its plans come to.

    Attributes:
        family: The net without its size: "mobilenet".
        card: The GPU's number.
        measured_bytes: The reading.
        plans: The peaks by cuDNN's choices, simulated through `memorymark.estimate`.
    """

    family: str
    card: str
    measured_bytes: int
    plans: PlayedPlans

    def is_inside(self, scatter: float, shift: float) -> bool:
        """Return whether the reading is within the range."""
        found = self.plans.range(scatter, shift)
        return found.low_bytes <= self.measured_bytes <= found.high_bytes

    def width(self, scatter: float, shift: float) -> float:
        """Return the width of the range over its middle."""
        found = self.plans.range(scatter, shift)
        return (found.high_bytes - found.low_bytes) / found.likely_bytes


def measured_rows(rows: Iterable[Row]) -> Iterator[Measured]:
    """Simulate the CNNs that ran as users do, and keep the plans that were played."""
    played: list[PlayedPlans] = []

    def keep(*args: object, **options: object) -> PlayedPlans:
        played.append(_play_plans(*args, **options))
        return played[-1]

    for row in rows:
        if row.family != "cnn" or row.out_of_memory or not row.value_bytes:
            continue
        with mock.patch.object(reserved_range, "play_plans", keep):
            score(row)  # a row with the setting of the one before it is not simulated again
        name = row.model.removeprefix("torchvision:")
        yield Measured(_family(name), row.gpu.split()[-1], row.value_bytes, played[-1])


_play_plans = reserved_range.play_plans


def _family(name: str) -> str:
    return name.partition("_")[0].rstrip("0123456789")


def chosen(rows: Sequence[Measured]) -> tuple[float, float]:
    """Return the constants with most readings inside, the narrowest of them, on these rows."""

    def key(constants: tuple[float, float]) -> tuple[int, float]:
        inside = sum(row.is_inside(*constants) for row in rows)
        return inside, -statistics.median(row.width(*constants) for row in rows)

    narrow = [
        each
        for each in product(_SCATTERS, _SHIFTS)
        if statistics.median(row.width(*each) for row in rows) < WIDEST
    ]
    return max(narrow, key=key)


def held_out(rows: Sequence[Measured], group: Callable[[Measured], str]) -> None:
    """Print, group by group, how many readings are inside where the group was left out."""
    total = 0
    for name in sorted({group(row) for row in rows}):
        rest, left_out = [], []
        for row in rows:
            (left_out if group(row) == name else rest).append(row)
        constants = chosen(rest)
        inside = sum(row.is_inside(*constants) for row in left_out)
        width = statistics.median(row.width(*constants) for row in left_out)
        total += inside
        print(f"{name:<12}{inside:>4} of {len(left_out):<4} median width {width:.1%}   "
              f"scatter {constants[0]:.4f}, shift {constants[1]:+.4f}")  # fmt: skip
    print(f"{'all':<12}{total:>4} of {len(rows)}\n")


def main() -> None:
    """Simulate the rows once and score both ways of leaving out."""
    rows = list(measured_rows([*load_rows(), *load_rows(CNN_WORKSPACES)]))
    held_out(rows, lambda row: row.family)
    held_out(rows, lambda row: row.card)


if __name__ == "__main__":
    main()
