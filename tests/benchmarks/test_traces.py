"""Where two traces of one step part ways, in words that name the cause."""

from itertools import pairwise

import traces

from memorymark.memory.trace import FORWARD, OPTIMIZER, STEP, Block, Trace


def made(*events, phase=FORWARD):
    """A trace of (name, size) for an allocation and (name, 0) for its release."""
    trace, ids = Trace(), {}
    trace.mark(STEP)
    for name, size in events:
        if name == "|":
            trace.mark(phase := OPTIMIZER)
        elif size:
            ids[name] = trace.allocate(Block(size, phase, "layer", f"aten.{name}.default"))
        else:
            trace.release(ids[name])
    return trace


MEASURED = made(("mm", 100), ("loss", 50), ("mm", 0), ("|", 0), ("grad", 70))


def test_same_traces_have_no_difference():
    other = made(("mm", 100), ("loss", 50), ("mm", 0), ("|", 0), ("grad", 70))
    assert traces.first_difference(MEASURED, other) is None
    assert traces.first_lasting_difference(MEASURED, other) is None
    assert traces.held_at_peaks(MEASURED, other) == []
    assert traces.worst_phase(MEASURED, other)[1] == 1


def test_the_first_difference_names_both_operations():
    other = made(("mm", 100), ("loss", 4), ("mm", 0), ("|", 0), ("grad", 70))
    found = traces.first_difference(MEASURED, other)
    assert found.position == 1
    assert str(found) == (
        "event 1 (step): allocates 50 B of loss in layer | allocates 4 B of loss in layer"
    )
    assert traces.held_at_peaks(MEASURED, other)[0].excess == -1


def test_a_trace_that_ends_early_differs_there():
    other = made(("mm", 100), ("loss", 50), ("mm", 0))
    found = traces.first_difference(MEASURED, other)
    assert (found.position, found.phase, found.simulated) == (3, OPTIMIZER, None)


def test_scratch_memory_is_no_lasting_difference():
    scratch = [(f"t{index}", size) for index in range(3) for size in (10, 0)]
    one = made(("mm", 100), ("loss", 50), ("more", 5))
    other = made(*scratch, ("mm", 100), ("loss", 50), ("more", 6))
    assert traces.first_difference(one, other).measured == "allocates 100 B of mm in layer"
    assert traces.first_lasting_difference(one, other).measured == "allocates 5 B of more in layer"


def test_the_peaks_of_phases_do_not_hide_each_other():
    one = made(("mm", 100), ("mm", 0), ("|", 0), ("states", 900))
    other = made(("mm", 80), ("mm", 0), ("|", 0), ("states", 900))
    assert traces.peak_bytes(one) == traces.peak_bytes(other) == 900
    assert traces.peak_phase(one) == OPTIMIZER
    assert traces.peaks_by_phase(one) == [(STEP, 100), (OPTIMIZER, 900)]
    assert traces.worst_phase(one, other) == (STEP, 0.8)


def test_what_is_held_at_the_peaks_is_sorted_by_bytes():
    other = made(("loss", 50), ("loss2", 20), ("|", 0), ("grad", 70))
    sizes = [held.size_bytes * abs(held.excess) for held in traces.held_at_peaks(MEASURED, other)]
    assert len(sizes) > 1 and all(one >= other for one, other in pairwise(sizes))
