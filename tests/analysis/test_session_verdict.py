"""A run of sessions passes only where it shows what it was meant to show."""

import dataclasses

import pytest

from memorymark.analysis.session_verdict import judge
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import Act, SessionPlan, SessionRun, Swap, Verdict
from memorymark.records.trial import Source, Target
from memorymark.units import GIB, MIB

HELD = SessionRun(
    model="llama", config=ServingConfig(), plan=SessionPlan(sessions=50),
    target=Target("a card", "simulated", Source.SIMULATED, 79 * GIB),
    sessions_completed=50, sessions_served=50, weights_bytes=26 * GIB,
    beside_bytes=GIB, peak_allocated_bytes=70 * GIB, peak_reserved_bytes=75 * GIB,
    capacity_bytes=79 * GIB, cache_bytes_per_session=2 * GIB, verdict=Verdict.FAIL, reason="",
)  # fmt: skip
SWAPPED = dataclasses.replace(HELD, config=ServingConfig(policy="swap"))
SWAPS = {"swaps": (Swap(1, Act.SWAP_OUT, 2 * GIB, 0.04),), "first_swap_session": 27}

ENDED = {"sessions_completed": 0, "failed_session": 27}


def test_what_is_recommended_keeps_some_memory_free():
    assert HELD.sessions_recommended is None  # nobody has looked for how many are held
    most = dataclasses.replace(HELD, sessions_held=26)
    assert most.sessions_recommended == 24  # of 2 GiB each in 75.05 of 79 GiB
    lossy = dataclasses.replace(HELD, sessions_held=20)
    assert lossy.sessions_recommended == 18
    tight = dataclasses.replace(most, capacity_bytes=28 * GIB, sessions_held=0)
    assert tight.sessions_recommended == 0


def test_what_is_needed_and_what_there_is_room_for():
    assert HELD.demand_bytes == 127 * GIB and HELD.sessions_by_bytes == 26
    assert SWAPS["swaps"][0].bytes_per_second == pytest.approx(50 * GIB)
    assert HELD.to_dict()["device"] == "a card" and HELD.to_dict()["policy"] == "hold"
    assert SessionRun.from_dict(HELD.to_dict()) == HELD


@pytest.mark.parametrize(
    ("run", "changes", "verdict", "words"),
    [
        (SWAPPED, SWAPS, Verdict.PASS, "127.00 GiB at once; the first cache was moved away for"),
        (SWAPPED, SWAPS | {"plan": SessionPlan(sessions=20), "sessions_completed": 20},
         Verdict.NOT_PROVEN, "so that by bytes alone no cache had to be moved."),
        (SWAPPED, {"plan": SessionPlan(sessions=20), "sessions_completed": 20},
         Verdict.NOT_PROVEN, "so that no cache had to be moved."),
        (SWAPPED, {}, Verdict.NOT_PROVEN, "Ask for more than 26 sessions."),
        (HELD, {}, Verdict.PASS, "All 50 sessions completed within 79.00 GiB."),
        (HELD, {"sessions_held_by_default": 40}, Verdict.PASS,
         "That takes expandable segments: with PyTorch's default allocator 40 come to their end."),
        (HELD, {"sessions_completed": 0, "failed_session": 27}, Verdict.FAIL,
         "Out of memory at session 27. 0 of 50 sessions completed."),
        (HELD, ENDED | {"sessions_held": 26, "sessions_held_by_default": 20}, Verdict.FAIL,
         "26 come to their end with all caches on the device, 20 with PyTorch's default "
         "allocator."),
        (HELD, ENDED | {"sessions_held": 26, "sessions_held_by_default": 30}, Verdict.FAIL,
         "on the device, and more with PyTorch's default allocator: 30 "
         "(--no-expandable-segments)."),
        (SWAPPED, ENDED | {"failed_on_host": True, "host_bytes": 10 * GIB}, Verdict.FAIL,
         "The host's memory ran out at session 27: 10.00 GiB may be used for swapped caches. Give "
         "more of it (--host-memory), or ask for fewer sessions. 0 of 50 sessions completed."),
        (SWAPPED, ENDED | {"plan": SessionPlan(sessions=50, active=30)}, Verdict.FAIL,
         "27: weights, 30 active sessions' caches and what a pass takes beside them need 87.00 GiB "
         "of 79.00 GiB."),
        (SWAPPED, ENDED | {"plan": SessionPlan(sessions=40, active=50)}, Verdict.FAIL,
         "27: weights, 40 active sessions' caches and what a pass takes beside them need 107.00 "
         "GiB of 79.00 GiB."),
        (SWAPPED, ENDED | {"capacity_bytes": 28 * GIB}, Verdict.FAIL,
         "weights, one session's cache and what a pass takes beside them need 29.00 GiB of 28.00"),
        (SWAPPED, ENDED | {"error": "out of memory: tried to allocate 3.0 MiB"}, Verdict.FAIL,
         "Out of memory at session 27: tried to allocate 3.0 MiB. 0 of 50"),
        (HELD, {"capacity_bytes": 2 * MIB, "peak_reserved_bytes": MIB}, Verdict.PASS,
         "All 50 sessions completed within 2.0 MiB."),
        (SWAPPED, SWAPS | {"peak_reserved_bytes": 80 * GIB}, Verdict.FAIL,
         "80.00 GiB were held, and the capacity is 79.00 GiB."),
    ],
)  # fmt: skip
def test_a_verdict_and_its_reason(run, changes, verdict, words):
    found, reason = judge(dataclasses.replace(run, **changes))
    assert found is verdict and words in reason
