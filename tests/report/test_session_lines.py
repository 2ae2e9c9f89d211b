"""Sessions in words: amounts that can be read, and nothing of an allocator that is not there."""

from __future__ import annotations

import dataclasses

import pytest

from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import Act, SessionEvent, SessionPlan, SessionRun
from memorymark.records.trial import Source, Target
from memorymark.report.session_lines import session_figures, session_lines, sessions_phrase
from memorymark.units import MIB, UNKNOWN

CARD = Target("NVIDIA L4", "simulated", Source.SIMULATED, 8 * MIB)
EVENTS = tuple(
    SessionEvent(
        act=act, session=1, turn=1, seconds=0.5, allocated_bytes=MIB, peak_bytes=2 * MIB,
        reserved_bytes=2 * MIB,
    )
    for act in (Act.PREFILL, Act.DECODE)
)  # fmt: skip
RUN = SessionRun(
    model="tiny", config=ServingConfig(), plan=SessionPlan(sessions=2), target=CARD,
    sessions_completed=2, sessions_served=2, weights_bytes=MIB, beside_bytes=MIB // 2,
    peak_allocated_bytes=2 * MIB, peak_reserved_bytes=2 * MIB, capacity_bytes=8 * MIB,
    cache_bytes_per_session=MIB // 4, timeline=EVENTS, price_per_hour=3.6,
)  # fmt: skip


def test_small_amounts_are_no_zeros():
    said = "\n".join(session_lines(RUN))
    assert "weights: 1.0 MiB" in said and "peak allocated: 2.0 MiB" in said
    assert "demand of 2 sessions: 2.0 MiB" in said and "0.00 GiB" not in said


@pytest.mark.parametrize(
    ("target", "expandable", "is_named"),
    [
        (CARD, True, True),
        (CARD, False, False),
        (Target("CPU", "cpu", Source.MEASURED, None), True, False),
        # A simulated GPU of Apple's is served without, whatever was asked for.
        (Target("Apple M4 16GB", "simulated", Source.SIMULATED, None), False, False),
    ],
)
def test_segments_that_grow_are_named_where_they_were_used(target, expandable, is_named):
    config = ServingConfig(expandable_segments=expandable)
    phrase = sessions_phrase(dataclasses.replace(RUN, target=target, config=config))
    assert ("expandable segments" in phrase) == is_named and "caches held" in phrase


def test_a_run_that_ended_early_has_no_rate_and_no_cost():
    whole = dict(session_figures(RUN))
    assert whole["new tokens/s, all sessions"] == "2"
    assert whole["$ per million new tokens"] == "$500"
    ended = dict(session_figures(dataclasses.replace(RUN, sessions_completed=1)))
    assert ended["new tokens/s, all sessions"] == UNKNOWN
    assert ended["$ per million new tokens"] == UNKNOWN
    assert ended["first token"] == "500 ms"
