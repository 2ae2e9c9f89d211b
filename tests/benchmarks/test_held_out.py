"""The score of the range on groups that its constants were not chosen on."""

import pytest
from held_out import WIDEST, Measured, chosen, held_out

from memorymark.simulator.allocator.replay import ReplayResult
from memorymark.simulator.reserved_range import PlayedPlans

GIB = 1024**3


def measured(family, share):
    """Return a net whose reading is that share of the middle of its plans."""
    base = ReplayResult(True, GIB // 2, GIB, 0, None)
    plans = PlayedPlans(GIB, GIB, 0, operand_share=1.0, base=base, capacity_bytes=None)
    return Measured(family, "3060", round(share * GIB), plans)


def test_constants_are_the_narrowest_that_hold_most():
    rows = [measured("a", share) for share in (0.98, 1.0, 1.01)]
    scatter, shift = chosen(rows)
    assert all(row.is_inside(scatter, shift) for row in rows)
    assert max(row.width(scatter, shift) for row in rows) < WIDEST


def test_a_group_is_scored_by_constants_that_never_saw_it(capsys):
    rows = [measured("a", 1.0), measured("a", 1.01), measured("b", 1.2)]
    held_out(rows, lambda row: row.family)
    lines = [line.split()[:4] for line in capsys.readouterr().out.splitlines() if line]
    assert lines[0][:4] == ["a", "2", "of", "2"] and lines[1] == ["b", "0", "of", "1"]
    assert lines[2] == ["all", "2", "of", "3"]


@pytest.mark.parametrize("share", [0.9, 1.1])
def test_readings_beyond_the_range_are_outside(share):
    assert not measured("a", share).is_inside(0.04, 0.0)
