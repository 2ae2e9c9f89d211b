"""Sessions on an accelerator, whose readings a stand-in gives, and on a device too small."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny import tiny_llama

from memorymark.errors import NotAvailable
from memorymark.inference.host_store import ArrayStore
from memorymark.memory.tracker import MemoryTracker
from memorymark.probes.mps import MpsProbe
from memorymark.probes.session_runs import run_on_accelerator
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import Act, SessionPlan
from memorymark.records.trial import Source, Target
from memorymark.units import MIB
from memorymark.workloads.serving_spec import ServingSpec

CPU = torch.device("cpu")
TARGET = Target("a card", "cuda", Source.MEASURED, 8 * MIB)
SPEC = ServingSpec(
    tiny_llama(), ServingConfig(weights="fp32", context_tokens=64, output_tokens=4, policy="swap"),
    SessionPlan(sessions=4),
)  # fmt: skip


class Gauges:
    """What is read of a card."""

    def __init__(self, card, budget_bytes):
        self.card, self.budget_bytes, self.waited = card, budget_bytes, 0

    def usable_bytes(self):
        return self.budget_bytes

    def allocated_bytes(self):
        return self.card.live_bytes

    def reserved_bytes(self):
        return self.card.live_bytes + MIB

    def split_bytes(self):
        return 0

    def process_bytes(self):
        return self.card.live_bytes + 2 * MIB

    def reset_peak(self):
        self.card.reset_peak()

    def peak_bytes(self):
        return self.card.peak_bytes, self.card.peak_bytes + MIB

    def synchronize(self):
        self.waited += 1


def run(budget_bytes, spec=SPEC):
    card = MemoryTracker("cpu", budget_bytes=budget_bytes)
    gauges = Gauges(card, budget_bytes)
    with card:
        return run_on_accelerator(spec, TARGET, CPU, gauges, ArrayStore(MIB)), gauges


def test_each_act_waits_for_the_device_and_is_read():
    found, gauges = run(8 * MIB)
    assert found.sessions_completed == 4 and found.error is None
    acts = [event.act for event in found.timeline if event.session == 1]
    assert acts == [Act.PREFILL, *[Act.DECODE] * 3]
    assert gauges.waited == 2 * len(found.timeline)
    for event in found.timeline:
        assert event.reserved_bytes == event.allocated_bytes + MIB
        assert event.process_bytes == event.allocated_bytes + 2 * MIB
        assert event.seconds > 0 and event.peak_bytes >= event.allocated_bytes
    most = max(event.peak_bytes for event in found.timeline)
    assert found.peak_allocated_bytes == most and found.peak_reserved_bytes == most + MIB
    assert found.capacity_bytes == 8 * MIB and found.host_bytes == MIB


def test_where_there_is_no_room_caches_are_moved_away_and_back():
    whole, _ = run(8 * MIB)
    room = whole.weights_bytes + whole.beside_bytes + 2 * whole.cache_bytes_per_session
    found, _ = run(int(room * 1.05))
    assert found.sessions_completed == 4 and found.first_swap_session is not None
    moved = {act: sum(swap.bytes for swap in found.swaps if swap.act is act) for act in Act}
    assert moved[Act.SWAP_OUT] >= moved[Act.SWAP_IN] > 0
    held = dataclasses.replace(SPEC, config=dataclasses.replace(SPEC.config, policy="hold"))
    ended, _ = run(int(room * 1.05), held)
    assert ended.failed_session == ended.sessions_served + 1 and "out of memory" in ended.error


def test_a_model_that_does_not_fit_ends_before_its_first_session():
    found, _ = run(MIB // 8)
    assert found.sessions_served == 0 and "out of memory" in found.error and not found.timeline


def test_a_device_that_runs_no_sessions_says_so():
    probe = object.__new__(MpsProbe)
    probe.target = Target("Apple M4", "mps", Source.MEASURED, None)
    with pytest.raises(NotAvailable, match=r"not on Apple M4\. Name a GPU"):
        probe.run_sessions(SPEC)
