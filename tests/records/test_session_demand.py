"""What sessions need between, at and beyond the contexts that are known."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_demand import demand_of
from memorymark.records.session_run import ContextRoom, SessionPlan, SessionRun
from memorymark.records.trial import Source, Target
from memorymark.units import GIB, MIB

RUN = SessionRun(
    model="llama", config=ServingConfig(context_tokens=2000), plan=SessionPlan(sessions=10),
    target=Target("a card", "simulated", Source.SIMULATED, 40 * GIB), sessions_completed=0,
    sessions_served=3, weights_bytes=20 * GIB, beside_bytes=GIB, peak_allocated_bytes=30 * GIB,
    capacity_bytes=40 * GIB, cache_bytes_per_session=2 * GIB,
    rooms=(
        ContextRoom(1000, GIB, 512 * MIB, 19), ContextRoom(2000, 2 * GIB, GIB, 9),
        ContextRoom(4000, 3 * GIB, GIB, 6),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("tokens", "cache_bytes"),
    [(1000, GIB), (1500, 1.5 * GIB), (2000, 2 * GIB), (3000, 2.5 * GIB), (6000, 4 * GIB)],
)
def test_caches_grow_evenly_between_what_is_known_and_go_on_so(tokens, cache_bytes):
    assert demand_of(RUN, 1, tokens).cache_bytes == cache_bytes


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1000, 4000))
def test_what_stands_beside_may_grow_with_the_square(slope, bend, tokens):
    def beside(x):
        return 50 * MIB + slope * x + bend * x * x // 1000

    rooms = tuple(ContextRoom(x, GIB, beside(x)) for x in (1000, 2000, 4000))
    found = demand_of(dataclasses.replace(RUN, rooms=rooms), 1, tokens).beside_bytes
    assert found == pytest.approx(beside(tokens), abs=3)


@given(st.lists(st.integers(0, 10**9), min_size=4, max_size=4), st.integers(1000, 8000))
def test_what_stands_beside_is_never_beyond_what_is_known_around_it(known, tokens):
    contexts = (1000, 2000, 4000, 8000)
    rooms = tuple(ContextRoom(x, GIB, y) for x, y in zip(contexts, known, strict=True))
    found = demand_of(dataclasses.replace(RUN, rooms=rooms), 1, tokens).beside_bytes
    around = [
        (a, b) for (x, a), (y, b) in itertools.pairwise(zip(contexts, known, strict=True))
        if x <= tokens <= y
    ]  # fmt: skip
    assert any(min(pair) <= found <= max(pair) for pair in around)


def test_at_the_runs_own_context_it_is_the_runs_own_demand():
    demand = demand_of(RUN, 10, 2000)
    assert demand.total_bytes == RUN.demand_bytes == 41 * GIB
    assert demand.room == RUN.sessions_by_bytes == 9
    assert demand.fitting_bytes == 18 * GIB and demand.missing_bytes == 2 * GIB


def test_where_no_session_came_to_its_end_nothing_is_known():
    bare = dataclasses.replace(RUN, rooms=(), cache_bytes_per_session=None)
    assert demand_of(bare, 1, 1000) is None
    known = dataclasses.replace(RUN, rooms=())
    assert demand_of(known, 1, 9000).cache_bytes == 2 * GIB


@given(st.integers(1, 200), st.integers(1, 10_000))
def test_its_parts_are_all_of_it(sessions, tokens):
    demand = demand_of(RUN, sessions, tokens)
    parts = demand.weights_bytes + demand.beside_bytes
    assert parts + demand.fitting_bytes + demand.missing_bytes == demand.total_bytes
    assert demand.fitting_bytes >= 0 and demand.missing_bytes >= 0
    assert (demand.missing_bytes > 0) == (demand.total_bytes > demand.capacity_bytes)
