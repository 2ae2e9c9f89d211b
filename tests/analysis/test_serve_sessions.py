"""Sessions on a simulated card and on the CPU: the same verdicts, and figures that agree."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from tiny import tiny_gpt2
from transformers import Gemma2Config, LlamaConfig

from memorymark.analysis.serve_sessions import serve_on
from memorymark.errors import BatchTooLong, Cancelled, InvalidValue, NotAvailable
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.cpu import CpuProbe
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import Task
from memorymark.records.event import CancelToken
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_demand import demand_of
from memorymark.records.session_run import Act, SessionPlan, SessionRun, Verdict
from memorymark.records.trial import Target
from memorymark.units import MIB
from memorymark.workloads.huggingface import HuggingFaceWorkload

TOKEN_BYTES = 2 * 2 * 8 * 32 * 4  # keys and values, layers, heads, their width, fp32
# On the card the blocks of a cache are large beside the allocator's pages of 2 MiB.
TOKENS = {"cpu": 100, "simulated": 4000}
PLAN = SessionPlan(sessions=16)
CPU_BUDGET = 8 * MIB
L4_BUDGET = 260 * MIB


def long_llama():
    config = LlamaConfig(
        vocab_size=500, hidden_size=256, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=4000,
    )  # fmt: skip
    return HuggingFaceWorkload("long-llama", config, Task.CAUSAL_LM)


def served(probe, policy="hold", plan=PLAN, workload=None, host_bytes=None, cancel=None, **config):
    tokens = TOKENS[probe.target.kind]
    given = {"weights": "fp32", "context_tokens": tokens, "output_tokens": 4, **config}
    events = []
    run = serve_on(
        probe, workload or long_llama(), ServingConfig(policy=policy, **given), plan,
        host_bytes=host_bytes, price_per_hour=1.0, on_event=events.append,
        cancel=cancel or CancelToken(),
    )  # fmt: skip
    assert SessionRun.from_dict(run.to_dict()) == run
    return run, events


def l4(budget=L4_BUDGET):
    return SimulatedProbe(find_gpu("l4"), budget_bytes=budget)


@pytest.fixture(scope="module")
def runs():
    probes = {"simulated": l4(), "cpu": CpuProbe(CPU_BUDGET)}
    pairs = itertools.product(probes, ("hold", "swap"))
    return {(name, policy): served(probes[name], policy)[0] for name, policy in pairs}


@pytest.mark.parametrize("where", ["simulated", "cpu"])
def test_what_is_held_ends_and_what_is_swapped_completes(runs, where):
    held, swapped = runs[where, "hold"], runs[where, "swap"]
    assert held.verdict is Verdict.FAIL and "Out of memory at session" in held.reason
    assert held.failed_session == held.sessions_served + 1
    most = held.sessions_by_bytes  # the allocator of the card loses some between its blocks
    assert (most - 1 if where == "cpu" else 0.7 * most) <= held.sessions_served <= most
    assert swapped.verdict is Verdict.PASS and swapped.sessions_completed == 16
    assert swapped.demand_bytes > swapped.capacity_bytes >= swapped.peak_allocated_bytes
    assert swapped.first_swap_session == held.failed_session


def test_a_held_run_and_a_swapped_one_say_the_same_of_the_device(runs):
    held, swapped = runs["simulated", "hold"], runs["simulated", "swap"]
    assert held.sessions_held == swapped.sessions_held <= held.sessions_by_bytes
    assert held.sessions_held_by_default == swapped.sessions_held_by_default
    assert held.rooms == swapped.rooms


def test_a_cache_is_the_same_to_the_byte_simulated_and_measured(runs):
    for (where, _), run in runs.items():
        read = TOKENS[where] - 1  # the last token is not read any more
        assert run.cache_bytes_per_session == TOKEN_BYTES * read
        for room in run.rooms:
            assert room.cache_bytes == TOKEN_BYTES * (room.context_tokens - 1)
    assert len({run.weights_bytes for run in runs.values()}) == 1


def test_memory_stays_on_a_plateau_where_caches_are_swapped(runs):
    for where in ("simulated", "cpu"):
        run = runs[where, "swap"]
        after_first = [e for e in run.timeline if e.turn == 2 and e.act is Act.DECODE]
        sizes = [event.allocated_bytes for event in after_first]
        assert max(sizes) - min(sizes) <= 2 * run.cache_bytes_per_session


def test_simulated_swaps_take_what_their_bytes_over_the_links_rate_come_to(runs):
    gpu = find_gpu("l4")
    for swap in runs["simulated", "swap"].swaps:
        rate = gpu.host_to_device_bytes_per_second
        if swap.act is Act.SWAP_OUT:
            rate = gpu.device_to_host_bytes_per_second
        assert swap.seconds == pytest.approx(swap.bytes / rate.likely)


def test_seconds_add_up_and_a_token_after_a_swap_takes_longer(runs):
    run = runs["simulated", "swap"]
    assert run.timeline[-1].at_seconds == pytest.approx(sum(e.seconds for e in run.timeline))
    assert run.first_token_swapped_seconds > run.first_token_seconds > 0
    assert run.next_token_swapped_seconds > run.next_token_seconds > 0
    assert run.cost_per_million_tokens == pytest.approx(1e6 / 3600 / run.tokens_per_second)
    held = runs["simulated", "hold"]  # it ended early: of the rest nobody knows the seconds
    assert held.tokens_per_second is None and held.cost_per_million_tokens is None
    assert held.first_token_seconds > 0  # those of the turns that were taken
    assert run.seconds_factor > 1 and runs["cpu", "swap"].seconds_factor is None


def test_a_run_that_swaps_nothing_proves_nothing():
    run, _ = served(l4(), "swap", SessionPlan(sessions=2))
    assert run.verdict is Verdict.NOT_PROVEN and not run.swaps
    assert f"Ask for more than {run.sessions_by_bytes:,} sessions." in run.reason


def test_the_hosts_memory_is_a_limit_of_its_own():
    for probe in (l4(), CpuProbe(CPU_BUDGET)):
        run, _ = served(probe, "swap", host_bytes=MIB)
        assert run.verdict is Verdict.FAIL and run.host_bytes == MIB
        assert run.failed_session is not None and "out of memory on the host" in run.error
        assert run.failed_on_host and "The host's memory ran out at session" in run.reason
        assert "1.0 MiB may be used for swapped caches" in run.reason


def test_a_model_larger_than_the_device_fails_before_its_first_session():
    run, _ = served(CpuProbe(MIB // 4))
    assert run.verdict is Verdict.FAIL and run.sessions_served == 0 and run.timeline == ()
    assert "No session began: out of memory" in run.reason and run.peak_allocated_bytes is None


def test_each_turn_is_told_and_a_cancelled_run_ends_there():
    _, events = served(CpuProbe(CPU_BUDGET), plan=SessionPlan(sessions=2))
    assert [event.progress for event in events] == [0.25, 0.5, 0.75, 1.0]
    assert events[0].text.startswith("Session 1 of 2, turn 1: ")
    assert events[0].text.endswith(" MiB allocated")
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        served(l4(), cancel=cancel)


def test_what_does_not_suit_is_one_sentence():
    probe = l4()
    gpt2 = tiny_gpt2(Task.CAUSAL_LM)
    with pytest.raises(BatchTooLong, match="has 64 positions, too few for a context of 4,000 tok"):
        served(probe, workload=gpt2)
    with pytest.raises(InvalidValue, match="max new tokens"):
        served(probe, context_tokens=4)
    probe.target = Target("Apple M4", "mps", probe.target.source, None)
    with pytest.raises(NotAvailable, match="not on Apple M4"):
        super(SimulatedProbe, probe).run_sessions(None)


def test_apples_gpus_have_no_segments_that_grow():
    run, _ = served(SimulatedProbe(find_gpu("m4-16gb"), budget_bytes=L4_BUDGET))
    assert not run.config.expandable_segments and run.sessions_held_by_default is None
    assert any("approximate" in note for note in run.assumptions)


def test_a_pause_changes_nothing_of_how_many_are_held(runs):
    paused, _ = served(l4(), "hold", dataclasses.replace(PLAN, pause_layer=1))
    held = runs["simulated", "hold"]
    assert paused.sessions_held == held.sessions_held
    assert paused.sessions_held_by_default == held.sessions_held_by_default
    with pytest.raises(InvalidValue, match="turns is 1; accepted: 2 or more with a pause layer"):
        SessionPlan(turns=1, pause_layer=1)


@pytest.mark.parametrize(("tokens", "turns"), [(1, 2), (3, 5), (16, 2), (16, 32)])
def test_no_more_tokens_are_made_than_were_asked_for(tokens, turns):
    plan = SessionPlan(sessions=1, turns=turns)
    run, _ = served(CpuProbe(CPU_BUDGET), plan=plan, output_tokens=tokens)
    acts = [event.act for event in run.timeline]
    assert acts.count(Act.PREFILL) + acts.count(Act.DECODE) == tokens
    (asked,) = [room for room in run.rooms if room.context_tokens == TOKENS["cpu"]]
    assert run.cache_bytes_per_session == asked.cache_bytes


def test_more_sessions_than_can_be_tried_are_told_by_bytes_alone():
    run, _ = served(l4(20 * 1024 * MIB), plan=SessionPlan(sessions=2), context_tokens=64)
    assert run.sessions_held is None and run.sessions_by_bytes > 131_072 / 4


def test_the_needs_of_other_contexts_are_those_of_runs_at_them():
    windowed = Gemma2Config(
        vocab_size=500, hidden_size=128, intermediate_size=64, num_hidden_layers=2, head_dim=64,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=6000,
        sliding_window=700,
    )  # fmt: skip
    workload = HuggingFaceWorkload("windowed", windowed, Task.CAUSAL_LM)
    plan = SessionPlan(sessions=2)

    def run_at(context):
        return served(l4(), plan=plan, workload=workload, context_tokens=context)[0]

    run = run_at(500)
    assert 700 in [room.context_tokens for room in run.rooms]
    for context in (400, 700, 800, 1500):
        told, fresh = (demand_of(each, 100, context).total_bytes for each in (run, run_at(context)))
        assert told == pytest.approx(fresh, rel=0.01)
