from memorymark.probes.reconcile import with_remainder
from memorymark.records.held_memory import Breakdown

PARTS = Breakdown(parameters=600, activations=300, temporaries=5, inputs=95)


def test_what_no_tensor_explains_is_workspaces():
    breakdown, notes = with_remainder(PARTS, 1064)
    assert breakdown.workspaces == 64 and breakdown.total == 1064
    assert notes == ()


def test_nothing_left_over():
    assert with_remainder(PARTS, 1000) == (PARTS, ())


def test_a_small_excess_is_taken_off_and_said():
    breakdown, notes = with_remainder(PARTS, 992)
    assert breakdown.total == 992
    assert (breakdown.temporaries, breakdown.activations) == (0, 297)
    assert "higher peak than the timed ones" in notes[0] and "subtracted" in notes[0]


def test_a_large_excess_gives_no_breakdown():
    breakdown, notes = with_remainder(PARTS, 900)
    assert breakdown is None and "no breakdown is given" in notes[0]
    assert with_remainder(Breakdown(parameters=1001), 1000)[0] is None
