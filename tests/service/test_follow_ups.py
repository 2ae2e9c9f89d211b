"""Work that nobody pressed for: done last, given up at once, and begun again."""

import threading
import time

import pytest

from memorymark.errors import UsageError
from memorymark.records.config import TrainingConfig
from memorymark.records.event import Event, EventKind
from memorymark.records.request import Request, RequestKind
from memorymark.service import follow_ups as module
from memorymark.service.app_history import AppHistory
from memorymark.service.follow_ups import FollowUp, FollowUps
from memorymark.service.run import RunStatus

RUNNING = RunStatus.RUNNING


def asked(seq_len):
    return Request(RequestKind.LEVERS, "bert", TrainingConfig(seq_len=seq_len), gpu="l4")


def until(said, seconds=5):
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end
        time.sleep(0.002)


class Bench:
    """Work that goes on until it is let go or ended."""

    def __init__(self, history):
        self.history, self.busy, self.go, self.begun = history, False, threading.Event(), []
        self.follow_ups = FollowUps(history, self.work, lambda: self.busy)

    def work(self, request):
        def do(on_event, cancel):
            self.begun.append(request.config.seq_len)
            on_event(Event(EventKind.NOTE, "half", progress=0.5))
            while not self.go.wait(0.005):
                cancel.check()
            return {"model": "bert", "elapsed_seconds": 1.0}

        return do

    def ask(self, seq_len, page="a", **how):
        return self.follow_ups.ask(asked(seq_len), page, **how)

    def status(self, seq_len):
        found = self.follow_ups.state(asked(seq_len))
        return found and found.status


@pytest.fixture
def bench(tmp_path):
    made = Bench(AppHistory(tmp_path / "runs.sqlite3"))
    yield made
    made.follow_ups.close()


def test_what_is_found_is_a_run_of_the_history(bench):
    assert bench.ask(1).status is RunStatus.QUEUED
    until(lambda: bench.follow_ups.state(asked(1)) == FollowUp(RUNNING, 0.5))
    assert bench.history.list() == []
    bench.go.set()
    until(lambda: bench.status(1) is RunStatus.DONE)
    (run,) = bench.history.list()
    assert bench.ask(1) == FollowUp(RunStatus.DONE, run_id=run.run_id)
    kept = bench.history.open(run.run_id)
    assert Request.from_dict(kept.request) == asked(1) and kept.took_seconds == 1.0
    assert bench.begun == [1]


def test_it_begins_only_where_nothing_else_is_to_do(bench):
    bench.busy = True
    bench.ask(1)
    time.sleep(0.25)
    assert bench.begun == []
    bench.busy = False
    until(lambda: bench.begun == [1])


def test_it_gives_way_and_begins_anew(bench):
    bench.ask(1)
    until(lambda: bench.status(1) is RUNNING)
    bench.busy = True
    bench.follow_ups.give_way()
    until(lambda: bench.status(1) is None)
    assert bench.ask(1).status is RunStatus.QUEUED
    assert bench.history.list() == []
    bench.busy = False
    until(lambda: bench.begun == [1, 1])


def test_what_stays_needs_no_page_to_begin_anew(bench):
    bench.ask(1, stays=True)
    until(lambda: bench.status(1) is RUNNING)
    bench.follow_ups.give_way()
    until(lambda: bench.begun == [1, 1])


def test_what_no_page_asks_for_any_more_is_forgotten(bench, monkeypatch):
    monkeypatch.setattr(module, "FORSAKEN_SECONDS", 0.05)
    bench.busy = True
    bench.ask(1)
    until(lambda: bench.status(1) is None)
    bench.busy = False
    bench.ask(2)
    until(lambda: bench.begun == [2])


def test_what_is_asked_for_instead_takes_the_place_of_what_nobody_waits_for(bench, monkeypatch):
    monkeypatch.setattr(module, "FORSAKEN_SECONDS", 0.05)
    bench.ask(1)
    until(lambda: bench.status(1) is RUNNING)
    for seq_len in (2, 3):
        bench.ask(seq_len)
    until(lambda: bench.ask(3) and bench.begun == [1, 3])


def test_stopped_is_stopped_for_good_and_at_once(bench):
    bench.ask(1)
    bench.ask(2, "b")
    until(lambda: bench.status(1) is RUNNING)
    start = time.monotonic()
    bench.follow_ups.stop(asked(1))
    bench.follow_ups.stop(asked(2))
    until(lambda: bench.follow_ups._running is None)
    assert time.monotonic() - start < 1
    assert bench.ask(1).status is bench.ask(2).status is RunStatus.CANCELLED
    assert bench.begun == [1]


def test_no_more_waits_than_is_bearable(bench, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 1)
    bench.busy = True
    bench.ask(1, "a")
    assert bench.ask(2, "b") is None
    assert bench.ask(3, "a").status is RunStatus.QUEUED
    assert bench.status(1) is None


@pytest.mark.parametrize(
    ("raised", "said"),
    [(UsageError("It does not train."), "It does not train."), (SystemExit(3), "SystemExit: 3")],
)
def test_an_error_is_said_and_not_repeated(bench, raised, said):
    calls = []

    def fail(on_event, cancel):
        calls.append(1)
        raise raised

    bench.follow_ups._work_of = lambda request: fail
    bench.ask(1)
    until(lambda: bench.ask(1) == FollowUp(RunStatus.FAILED, error=said))
    assert calls == [1]
