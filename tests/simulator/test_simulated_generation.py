"""One simulated batch holds what a real one does, and its seconds have a band."""

import pytest
import torch
from tiny import tiny_llama

from memorymark.errors import OutOfMemory
from memorymark.gpus.catalogue import find_gpu
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.simulator import simulated_generation
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulated_generation import simulate_generation
from memorymark.units import MIB
from memorymark.workloads.build import build_model
from memorymark.workloads.serving_spec import ServingSpec

GPU = find_gpu("a100-80gb")
TOKENS = 600  # of 512 bytes


def generated(capacity=None, gpu=GPU, new_tokens=4, **options):
    config = ServingConfig(
        weights="fp32", context_tokens=TOKENS, output_tokens=new_tokens, **options
    )
    spec = ServingSpec(tiny_llama(), config, SessionPlan())
    model = build_model(spec.workload, spec.built_as, torch.device("meta"))
    return simulate_generation(spec, model, Rules(Platform.CUDA, (8, 0)), capacity, gpu)


def test_the_cache_holds_every_token_but_the_newest():
    assert generated().cache_bytes == 512 * (TOKENS - 1)


def test_first_and_next_token_have_seconds_within_their_bands():
    found = generated()
    for time in (found.first_token, found.next_token):
        assert 0 < time.low_seconds < time.seconds < time.high_seconds
        assert time.seconds == pytest.approx(max(time.device_seconds, time.host_seconds))
    assert found.first_token.device_seconds > found.next_token.device_seconds


def test_what_is_not_asked_for_or_does_not_happen_has_no_seconds():
    assert generated(gpu=None).first_token is None
    found = generated(new_tokens=1)
    assert found.first_token and found.next_token is None and found.decode is None


def test_a_compiled_pass_is_not_held_up_by_the_host():
    found = generated(compiled=True, cache="static")
    assert found.next_token.seconds == found.next_token.device_seconds
    assert found.first_token.seconds == found.first_token.host_seconds


def test_no_room_ends_it_where_the_allocator_finds_none():
    found = generated(36 * MIB)
    assert isinstance(found.ended, OutOfMemory) and found.prefill is None
    assert found.first_token is None and found.peak_reserved_bytes <= 36 * MIB


def test_tokens_that_are_skipped_change_nothing_but_the_time_it_takes(monkeypatch):
    found = generated(new_tokens=40)
    monkeypatch.setattr(simulated_generation, "_LOOKED_AT", 100)
    ran = generated(new_tokens=40)
    assert len(found.trace.events) < len(ran.trace.events)
    assert found.cache_bytes == ran.cache_bytes and found.decode == ran.decode
    assert found.peak_allocated_bytes == ran.peak_allocated_bytes
    assert found.peak_reserved_bytes == ran.peak_reserved_bytes
    assert found.next_token.seconds == pytest.approx(ran.next_token.seconds, rel=1e-3)
