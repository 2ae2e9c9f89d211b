"""Charts of sessions: a step for each turn in order, the plateau with its value, small units."""

from __future__ import annotations

import dataclasses

import pytest
from transformers import GPT2Config

import memorymark
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_demand import demand_of
from memorymark.records.session_run import Act, SessionPlan
from memorymark.report.charts.session_charts import demand_bar, memory_over_turns
from memorymark.report.charts.session_turns import plateau_bytes, thinned, turns_in_order
from memorymark.units import MIB, mib_or_gib
from memorymark.workloads.huggingface import HuggingFaceWorkload

SESSIONS, TURNS = 12, 2


def ran(policy, **plan):
    workload = HuggingFaceWorkload("gpt2", GPT2Config(n_layer=2))
    serving = ServingConfig(context_tokens=1024, output_tokens=6, policy=policy)
    return memorymark.sessions(
        workload, serving, SessionPlan(sessions=SESSIONS, turns=TURNS, **plan), gpu="l4",
        memory_budget="200MiB",
    )  # fmt: skip


@pytest.fixture(scope="module")
def swapped():
    return ran("swap")


@pytest.fixture(scope="module")
def held():
    return ran("hold")


def rows(spec, kind):
    values = {
        (row["at"], row["memory"]): row
        for layer in spec["layer"]
        for row in layer["data"]["values"]
        if row.get("kind", "").startswith(kind) and "at" in row
    }
    return sorted(values.values(), key=lambda row: row["at"])


def test_turns_stand_in_order_and_each_has_the_moves_that_it_needed(swapped):
    turns = turns_in_order(swapped.timeline)
    expected = [(session, turn) for turn in (1, 2) for session in range(1, SESSIONS + 1)]
    assert [(turn.session, turn.turn) for turn in turns] == expected
    assert sum(len(turn.moves) for turn in turns) == len(swapped.swaps)
    first = next(turn for turn in turns if turn.moves)
    assert (first.session, first.moves[0].act) == (swapped.first_swap_session, Act.SWAP_OUT)
    worked = [event for turn in turns for event in turn.work]
    assert len(worked) + len(swapped.swaps) == len(swapped.timeline)


def test_turns_that_overlap_are_one_step_each():
    turns = turns_in_order(ran("swap", active=2).timeline)
    assert len({(turn.session, turn.turn) for turn in turns}) == len(turns) == SESSIONS * TURNS


def test_the_chart_has_a_step_for_each_turn_with_its_time(swapped):
    spec = memory_over_turns(swapped)
    steps = rows(spec, "After the turn")
    assert [row["at"] for row in steps] == list(range(1, SESSIONS * TURNS + 1))
    assert steps[2]["what"] == "session 3, turn 1" and "ms" in steps[2]["when"]
    titles = {
        layer["encoding"]["x"]["title"] for layer in spec["layer"] if "x" in layer["encoding"]
    }
    assert titles == {"Turns of sessions, in order"}
    assert rows(spec, "Swap to the host") and rows(spec, "Swap to the device")


def test_the_plateau_has_a_line_with_its_value(swapped, held):
    plateau = plateau_bytes(turns_in_order(swapped.timeline))
    assert plateau < swapped.peak_allocated_bytes < swapped.capacity_bytes
    spec = memory_over_turns(swapped)
    named = f"Plateau: {mib_or_gib(plateau)}"
    (rule,) = [
        row for layer in spec["layer"] for row in layer["data"]["values"] if row["kind"] == named
    ]
    assert rule["memory"] == pytest.approx(plateau / MIB)
    assert mib_or_gib(plateau) in spec["description"]
    assert plateau_bytes(turns_in_order(held.timeline)) is None
    assert "Plateau" not in str(memory_over_turns(held))


def test_a_run_that_ended_early_has_a_mark_where_it_did(held):
    (mark,) = rows(memory_over_turns(held), "Ended at session")
    assert mark["kind"] == f"Ended at session {held.failed_session}"
    assert mark["at"] == len(turns_in_order(held.timeline)) + 1


def test_little_memory_is_drawn_in_mib(swapped):
    bar = demand_bar(demand_of(swapped, 3, 1024))
    for spec in (bar, memory_over_turns(swapped)):
        assert "Memory (MiB)" in str(spec) and "GiB" not in str(spec)
    many = dataclasses.replace(swapped, capacity_bytes=80 * 1024**3)
    assert "Memory (GiB)" in str(memory_over_turns(many))


def test_a_legend_in_one_column_leaves_room_for_the_plot(swapped):
    """As on a telephone, where the bar and the line of the capacity had none."""
    line, axis = 32, 100  # pixels
    for spec, least in (
        (demand_bar(demand_of(swapped, 100, 1024)), 60), (memory_over_turns(swapped), 170),
    ):  # fmt: skip
        named = [
            layer["encoding"]["color"]["scale"]["domain"]
            for layer in spec["layer"]
            if "color" in layer["encoding"]
        ]
        assert spec["height"] - line * len(named[0]) - axis >= least


def test_of_many_turns_some_are_left_out_but_not_the_first_move(swapped):
    turns = turns_in_order(swapped.timeline)
    kept = thinned(turns, 5)
    assert len(kept) <= 8 and (kept[0], kept[-1]) == (turns[0], turns[-1])
    assert next(turn for turn in turns if turn.moves) in kept
    assert thinned(turns, len(turns)) == turns and thinned([], 5) == []


def test_a_run_of_nothing_draws_an_empty_chart(swapped):
    empty = dataclasses.replace(
        swapped, timeline=(), swaps=(), capacity_bytes=None, peak_reserved_bytes=None
    )
    assert memory_over_turns(empty)["layer"]
