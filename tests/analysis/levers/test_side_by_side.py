"""Levers that several processes try come to what one process makes of them."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from typing import Any

import pytest
from tiny import tiny_bert

from memorymark.analysis.levers import side_by_side
from memorymark.analysis.levers.combined_levers import possible
from memorymark.analysis.levers.find_levers import _Work, find_levers
from memorymark.bounds import Bounds, bounds_of_work, working_within
from memorymark.errors import BoundReached, Cancelled
from memorymark.gpus.catalogue import find_gpu
from memorymark.placement.forks import can_fork
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, Event
from memorymark.records.lever import LeverReport
from memorymark.units import MIB

pytestmark = pytest.mark.skipif(not can_fork(), reason="children are forked on Linux alone")
FIND = "memorymark.analysis.levers.find_levers"
BUDGET = 64 * MIB
KEYS = {"amp-bf16", "amp-fp16", "gradient-checkpointing", "fused", "lora", "sgd"}


@pytest.fixture(autouse=True)
def few_levers(monkeypatch) -> None:
    def chosen(config, batch_size):
        every = possible(config, batch_size)
        return [each for each in every if {lever.key for lever in each.levers} <= KEYS]

    monkeypatch.setattr(f"{FIND}.possible", chosen)


def found(processes: int, batch_size: int = 16, **about: Any) -> LeverReport:
    gpu = find_gpu("a100-40gb")
    options = AnalysisOptions(current_batch_size=batch_size, max_batch_size=4096)
    probe = SimulatedProbe(gpu, budget_bytes=BUDGET)
    config = TrainingConfig(seq_len=32)
    return find_levers(
        probe, tiny_bert(), config, options, gpu=gpu, processes=processes, **about
    )  # fmt: skip


def plain(report: LeverReport) -> dict[str, Any]:
    varying = ("run_id", "created_at", "elapsed_seconds")
    return {name: value for name, value in report.to_dict().items() if name not in varying}


def told(events: list[Event]) -> list[tuple[Any, ...]]:
    return [(event.kind, event.phase, event.text, event.progress) for event in events]


@pytest.mark.parametrize("batch_size", [16, 391])
def test_answers_and_events_are_those_of_one_process(batch_size: int) -> None:
    alone, together = [], []
    one = found(1, batch_size, on_event=alone.append)
    several = found(3, batch_size, on_event=together.append)
    assert bool(one.make_it_fit) is (batch_size == 391)
    assert plain(several) == plain(one)
    assert told(together) == told(alone)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("end", [lambda: os._exit(1), lambda: 1 / 0])
def test_what_a_child_does_not_do_is_done_here(monkeypatch, end) -> None:
    parent, expected = os.getpid(), plain(found(1))
    try_lever = side_by_side.SideBySide._work

    def work(self, number, say):
        if number == 3 and os.getpid() != parent:
            end()
        return try_lever(self, number, say)

    monkeypatch.setattr(side_by_side.SideBySide, "_work", work)
    assert plain(found(2)) == expected
    monkeypatch.setattr(side_by_side.SideBySide, "_work", lambda self, number, say: end())
    assert plain(found(2)) == expected


def test_cancelling_ends_the_children_within_two_seconds(monkeypatch) -> None:
    monkeypatch.setattr(side_by_side.SideBySide, "_work", lambda *_: time.sleep(60))
    cancel, at = CancelToken(), []

    def stop() -> None:
        at.append(time.monotonic())
        cancel.cancel()

    def watch(event: Event) -> None:
        if event.phase == "levers" and not at:
            at.append(0.0)
            threading.Timer(0.3, stop).start()

    with pytest.raises(Cancelled):
        found(2, cancel=cancel, on_event=watch)
    assert time.monotonic() - at[-1] < 2
    assert not multiprocessing.active_children()


def test_children_share_out_what_one_process_may_take(monkeypatch) -> None:
    seen = []

    def tried(attempts, levers, try_lever, processes):
        seen.append(made(attempts, levers, try_lever, processes)._count)
        return made(attempts, levers, try_lever, 1)

    made = side_by_side.SideBySide
    monkeypatch.setattr(f"{FIND}.SideBySide", tried)
    bounds = Bounds()
    with working_within(bounds, lambda: None):
        found(100)
    assert seen == [bounds.most_processes]
    assert bounds.shared_out(3).host_bytes * 3 <= bounds.host_bytes
    assert bounds.shared_out(3).operations == bounds.operations


def test_a_child_works_within_its_share(monkeypatch) -> None:
    parent, shares = os.getpid(), []

    def try_lever(self, attempts, combined):
        if os.getpid() != parent:
            attempts.reporter.starting(bounds_of_work().host_bytes)
            raise BoundReached("The simulation", "much", "Wait.")
        return real(self, attempts, combined)

    real = _Work._try_lever
    monkeypatch.setattr(_Work, "_try_lever", try_lever)
    with working_within(Bounds(), lambda: None):
        report = found(2, on_event=lambda event: shares.append(event.batch_size))
    assert Bounds().host_bytes // 2 in shares
    assert report.levers
