"""Tokens that are skipped change nothing of sessions but the time that simulating them takes."""

import pytest
from tiny import tiny_llama
from transformers import MistralConfig

from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import Act, SessionPlan
from memorymark.simulator import skipping_turns
from memorymark.simulator.skipping_turns import tokens_of_a_step, tokens_to_run
from memorymark.units import MIB
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.serving_spec import ServingSpec

NEW = 40


def spec(workload=None, plan=None, **options):
    given = {"weights": "fp32", "context_tokens": 600, "output_tokens": NEW, **options}
    return ServingSpec(workload or tiny_llama(), ServingConfig(**given), plan or SessionPlan(3))


def sliding(window):
    config = MistralConfig(
        vocab_size=50, hidden_size=64, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, sliding_window=window,
    )  # fmt: skip
    return HuggingFaceWorkload("sliding", config)


def run_of(asked, budget=None):
    return SimulatedProbe(find_gpu("a100-80gb"), budget_bytes=budget).run_sessions(asked)


def run_whole(monkeypatch, asked, budget=None):
    monkeypatch.setattr(skipping_turns, "_RUN", 10_000)
    return run_of(asked, budget)


def memory(run):
    return [(each.act, each.allocated_bytes, each.peak_bytes) for each in run.timeline]


@pytest.mark.parametrize("plan", [{"turns": 1}, {"turns": 3}, {"active": 2}, {"pause_layer": 1}])
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_memory_and_seconds_are_those_of_tokens_that_all_run(monkeypatch, cache, plan):
    asked = spec(plan=SessionPlan(sessions=3, **plan), cache=cache)
    found, whole = run_of(asked), run_whole(monkeypatch, asked)
    assert [each[:2] for each in memory(found)] == [each[:2] for each in memory(whole)]
    for (_, _, peak), (_, _, exact) in zip(memory(found), memory(whole), strict=True):
        assert peak == pytest.approx(exact, abs=16_384)
    assert found.peak_allocated_bytes == whole.peak_allocated_bytes
    assert found.peak_reserved_bytes == whole.peak_reserved_bytes
    assert found.cache_bytes_per_session == whole.cache_bytes_per_session
    assert found.next_token_seconds == pytest.approx(whole.next_token_seconds, rel=1e-3)
    assert found.tokens_per_second == pytest.approx(whole.tokens_per_second, rel=1e-3)


def test_swaps_are_those_of_tokens_that_all_run(monkeypatch):
    asked = spec(plan=SessionPlan(sessions=60), policy="swap")
    found, whole = run_of(asked, 44 * MIB), run_whole(monkeypatch, asked, 44 * MIB)
    assert found.swaps and found.swaps == whole.swaps
    assert found.sessions_completed == whole.sessions_completed == 60


@pytest.mark.parametrize("window", [200, 570, 580, 2000])
def test_a_window_is_kept_to_wherever_it_ends(monkeypatch, window):
    asked = spec(sliding(window))
    found, whole = run_of(asked), run_whole(monkeypatch, asked)
    assert [each[:2] for each in memory(found)] == [each[:2] for each in memory(whole)]
    assert found.peak_reserved_bytes == whole.peak_reserved_bytes


def test_the_last_token_of_each_turn_runs_and_few_of_the_others():
    to_run = tokens_to_run(spec(plan=SessionPlan(turns=3)))
    assert {0, 12, 25, 38} <= set(to_run) and len(to_run) < 12
    assert tokens_to_run(spec(output_tokens=8)) is None
    assert tokens_to_run(spec(cache="quantized")) is None
    assert tokens_to_run(spec(sliding(580))) is None and tokens_to_run(spec(sliding(200)))


def test_caches_of_many_tokens_grow_in_larger_steps():
    assert tokens_of_a_step(spec()) == 1
    many = spec(tiny_llama(), SessionPlan(sessions=500), context_tokens=600, output_tokens=500)
    assert tokens_of_a_step(many) == 8


def test_larger_steps_leave_what_is_held_at_the_end_of_a_turn(monkeypatch):
    asked = spec()
    fine = run_of(asked)
    monkeypatch.setattr(skipping_turns, "_STEPS_OF_ALL", 0)
    monkeypatch.setattr(skipping_turns, "_LEAST_STEPS", 5)
    coarse = run_of(asked)
    assert coarse.peak_allocated_bytes == fine.peak_allocated_bytes
    assert coarse.timeline[-1].allocated_bytes == fine.timeline[-1].allocated_bytes
    decoded = [each for each in coarse.timeline if each.act is Act.DECODE]
    assert len(decoded) == 3 * (NEW - 1)
