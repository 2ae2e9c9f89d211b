"""Simulated sessions hold what real ones do, and repeating one of them changes nothing."""

import dataclasses

import pytest
import torch
from tiny import tiny_llama
from transformers import MistralConfig

from memorymark.errors import OutOfHostMemory, OutOfMemory, UnknownChoice
from memorymark.gpus.catalogue import find_gpu
from memorymark.inference.turns import ModelTurns
from memorymark.memory.tracker import MemoryTracker
from memorymark.records.config import Task
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import Act, SessionPlan
from memorymark.simulator import simulated_sessions
from memorymark.simulator.cuda.rules import Platform, Rules, rules_of
from memorymark.simulator.simulated_sessions import simulate_sessions
from memorymark.units import MIB
from memorymark.workloads.build import build_model
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.serving_spec import ServingSpec

RULES = Rules(Platform.CUDA, (8, 0))
META = torch.device("meta")
TOKENS = 600  # of 512 bytes
CAPACITY = 52 * MIB  # of which the workspaces of cuBLAS and of attention take 40


def spec(policy="hold", sessions=6, cache="dynamic", **plan):
    config = ServingConfig(
        weights="fp32", context_tokens=TOKENS, output_tokens=4, policy=policy, cache=cache
    )
    return ServingSpec(tiny_llama(), config, SessionPlan(sessions=sessions, turns=2, **plan))


def simulated(asked, capacity=None, host=None, rules=RULES):
    model = build_model(asked.workload, asked.built_as, META)
    return simulate_sessions(asked, model, rules, capacity, host)


def test_a_spec_fills_in_the_task_and_refuses_what_does_not_generate():
    assert spec().config.task is Task.CAUSAL_LM
    prompt = spec().make_prompt(META)
    assert prompt["input_ids"].shape == (1, TOKENS - 4) and "labels" not in prompt
    with pytest.raises(UnknownChoice, match="task"):
        ServingSpec(tiny_llama(), ServingConfig(task="masked-lm"), SessionPlan())


@pytest.mark.parametrize(
    ("cache", "pause_layer"),
    [("dynamic", None), ("dynamic", 0), ("dynamic", 1), ("static", None), ("static", 1),
     ("quantized", None)],
)  # fmt: skip
def test_sessions_that_are_repeated_allocate_what_they_would_if_they_ran(
    monkeypatch, cache, pause_layer
):
    asked = spec(cache=cache, pause_layer=pause_layer)
    repeated = simulated(asked)
    monkeypatch.setattr(simulated_sessions, "RepeatedTurns", lambda turns, *given: turns)
    ran = simulated(asked)
    large = [[size for _, size in each.trace.events if abs(size) > MIB] for each in (repeated, ran)]
    assert large[0] == large[1]  # small ones that live within an act are left out
    assert repeated.sessions.events == ran.sessions.events
    assert [len(works) for works in repeated.works] == [len(works) for works in ran.works]


@pytest.mark.parametrize("pause_layer", [None, 1])
def test_so_do_sessions_that_are_swapped(monkeypatch, pause_layer):
    asked = spec("swap", 60, pause_layer=pause_layer)
    repeated = simulated(asked, CAPACITY)
    assert repeated.ended is None and repeated.sessions.completed == 60 and repeated.sessions.swaps
    monkeypatch.setattr(simulated_sessions, "RepeatedTurns", lambda turns, *given: turns)
    ran = simulated(asked, CAPACITY)
    assert repeated.sessions.events == ran.sessions.events
    assert repeated.sessions.swaps == ran.sessions.swaps


def test_counters_that_a_cache_keeps_on_the_host_stay_there():
    asked = spec("swap", 60, cache="static", pause_layer=0)
    repeated = simulated(asked, CAPACITY)
    assert repeated.ended is None and repeated.sessions.completed == 60 and repeated.sessions.swaps


def test_tensors_are_those_of_real_sessions():
    """The same turns on the CPU hold the same bytes of weights and caches after each act."""
    asked = spec()
    device = torch.device("cpu")
    model = build_model(asked.workload, asked.built_as, device)
    from memorymark.inference.inference_step import InferenceStep

    with MemoryTracker("cpu") as tracker:
        tracker.add(model.named_parameters(), "parameters")
        turns = ModelTurns(InferenceStep(model, asked.config), lambda: asked.make_prompt(device))
        before, state = tracker.live_bytes, turns.begin()
        turns.decode(state)
        held = sum(slot.tensor.nbytes for slot in state.slots())
        assert tracker.live_bytes - before >= held
    found = simulated(asked)
    assert found.weights_bytes >= before
    assert held == 512 * (TOKENS - 3)
    assert found.sessions.state_bytes == 512 * (TOKENS - 1)


def test_no_room_ends_it_where_the_allocator_finds_none():
    found = simulated(spec(sessions=200), CAPACITY)
    assert isinstance(found.ended, OutOfMemory)
    assert 0 < found.sessions.served < 200 and found.peak_reserved_bytes <= CAPACITY
    assert found.sessions.completed == 0


def test_the_hosts_memory_may_be_what_ends_it():
    found = simulated(spec("swap", sessions=200), CAPACITY, host=100_000)
    assert isinstance(found.ended, OutOfHostMemory)


def test_what_is_decoded_costs_the_same_in_every_session():
    found = simulated(spec(sessions=4))
    acts = [event.act for event in found.sessions.events]
    decodes = {
        len(works) for act, works in zip(acts, found.works, strict=True) if act is Act.DECODE
    }
    assert len(decodes) == 1 and decodes.pop() > 10


def test_sessions_on_apples_gpus_say_once_that_mps_is_not_modelled():
    said = simulated(spec(sessions=2), rules=rules_of(find_gpu("m4-16gb"))).assumptions
    assert sum("of MPS are not modelled" in sentence for sentence in said) == 1
    assert not any("MPS" in sentence for sentence in simulated(spec(sessions=2)).assumptions)


def test_repeated_sessions_move_what_a_windows_tensors_hold_and_keep_their_storages():
    config = MistralConfig(
        vocab_size=50, hidden_size=64, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, sliding_window=300,
    )  # fmt: skip
    serving = ServingConfig(weights="fp32", context_tokens=TOKENS, output_tokens=4, policy="swap")
    asked = ServingSpec(HuggingFaceWorkload("sliding", config), serving, SessionPlan(sessions=60))
    found = simulated(asked, CAPACITY - 8 * MIB)
    assert found.sessions.completed == 60
    moved = {}
    for swap in found.sessions.swaps:
        moved.setdefault(swap.session > 2, set()).add(swap.bytes)
    assert moved[True] <= moved[False] and len(moved[True]) > 0


def test_sessions_without_end_are_ended_by_the_bounds():
    from memorymark.bounds import Bounds, working_within
    from memorymark.errors import BoundReached

    few = dataclasses.replace(Bounds(), operations=3_000)
    with working_within(few, lambda: None), pytest.raises(BoundReached, match="3,000 operations"):
        simulated(spec(sessions=5_000))
