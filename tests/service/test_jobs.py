import sqlite3
import subprocess
import sys
import threading
import time
from unittest.mock import create_autospec

import pytest
from fakes import FakeProbe, FakeWorkload

from memorymark.analysis.analyze import analyze_on
from memorymark.errors import Cancelled, HistoryUnusable, NothingFits, RunNotFound
from memorymark.records.config import TrainingConfig
from memorymark.records.event import Event, EventKind
from memorymark.service.history import RunHistory, RunStatus
from memorymark.service.jobs import JobManager
from memorymark.service.worker_process import WorkerFailed

DEVICE = "cuda:0"


@pytest.fixture
def history(tmp_path):
    return RunHistory(tmp_path / "runs.sqlite3")


@pytest.fixture
def manager(history):
    manager = JobManager(history)
    yield manager
    manager.close()


def until(said, seconds=10.0):
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.002)


def quick(on_event, cancel):
    on_event(Event(EventKind.NOTE, "one", progress=0.5))
    on_event(Event(EventKind.NOTE, "two"))
    return {"model_name": "bert", "device": "A", "source": "measured", "elapsed_seconds": 3.0}


class Gate:
    """Work that waits until it is let go, and then looks at its cancel token."""

    def __init__(self):
        self.started, self.go = threading.Event(), threading.Event()
        self.calls = 0

    def __call__(self, on_event, cancel):
        self.calls += 1
        self.started.set()
        assert self.go.wait(10)
        cancel.check()
        return {"model_name": "bert"}


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.go.set()


def test_result_is_on_disk_when_the_job_says_done(manager, history):
    job = manager.submit("analysis", {"model": "bert"}, DEVICE, quick)
    until(lambda: job.status is RunStatus.DONE)
    run = history.open(job.run_id)
    assert run.status is RunStatus.DONE
    assert run.record["run_id"] == job.run_id
    assert [event["text"] for event in history.events(job.run_id)] == ["one", "two"]
    assert job.share == 0.5
    assert job.left_seconds == 0.0


def test_equal_requests_become_one_job(manager, gate):
    first = manager.submit("analysis", {"model": "bert", "n": 1}, DEVICE, gate)
    second = manager.submit("analysis", {"n": 1, "model": "bert"}, DEVICE, gate)
    other = manager.submit("analysis", {"model": "bert", "n": 2}, DEVICE, gate)
    assert first is second
    assert other is not first
    gate.go.set()
    until(lambda: not manager.active())
    assert gate.calls == 2


def test_one_job_at_a_time_on_a_device_and_others_see_the_queue(manager, gate):
    first = manager.submit("analysis", {"model": "a"}, DEVICE, gate)
    second = manager.submit("analysis", {"model": "b"}, DEVICE, quick)
    elsewhere = manager.submit("analysis", {"model": "c"}, "cuda:1", quick)
    assert gate.started.wait(5)
    until(lambda: elsewhere.status is RunStatus.DONE)
    assert second.status is RunStatus.QUEUED
    assert manager.ahead_of(second) == [first]
    assert manager.active(DEVICE) == [first, second]
    gate.go.set()
    until(lambda: second.status is RunStatus.DONE)
    assert second.started_at >= first.finished_at


def test_cancel_running_and_waiting(manager, history, gate):
    running = manager.submit("analysis", {"model": "a"}, DEVICE, gate)
    waiting = manager.submit("analysis", {"model": "b"}, DEVICE, quick)
    assert gate.started.wait(5)
    manager.cancel(waiting.run_id)
    assert waiting.status is RunStatus.CANCELLED
    manager.cancel(running.run_id)
    assert running.status is RunStatus.RUNNING
    gate.go.set()
    until(lambda: running.status is RunStatus.CANCELLED)
    assert history.open(waiting.run_id).status is RunStatus.CANCELLED
    assert waiting.events == []
    with pytest.raises(RunNotFound):
        manager.cancel("no-such")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NothingFits("Not even batch 1 fits."), "Not even batch 1 fits."),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_failed_job_keeps_its_sentence_and_frees_the_device(manager, history, error, sentence):
    def fail(on_event, cancel):
        raise error

    job = manager.submit("analysis", {"model": "a"}, DEVICE, fail)
    until(lambda: job.status is RunStatus.FAILED)
    assert job.error == sentence
    assert history.open(job.run_id).error == sentence
    after = manager.submit("analysis", {"model": "a"}, DEVICE, quick)
    until(lambda: after.status is RunStatus.DONE)


def test_a_job_that_cannot_be_written_down_takes_no_place(manager, history, monkeypatch):
    odd = create_autospec(history.begin, side_effect=UnicodeEncodeError("utf-8", "", 0, 1, "odd"))
    monkeypatch.setattr(history, "begin", odd)
    with pytest.raises(UnicodeEncodeError):
        manager.submit("analysis", {"model": "a"}, DEVICE, quick)
    assert manager.active() == []


def test_an_end_that_cannot_be_written_down_holds_up_no_job(manager, history, monkeypatch):
    odd = create_autospec(history.finish, side_effect=RecursionError("too deep"))
    monkeypatch.setattr(history, "finish", odd)
    jobs = [manager.submit("analysis", {"model": name}, DEVICE, quick) for name in "ab"]
    until(lambda: not manager.active())
    assert "too deep" in jobs[0].error
    assert jobs[1].status is RunStatus.FAILED


def test_what_was_known_of_a_failed_job_is_kept(manager, history):
    def fail(on_event, cancel):
        raise WorkerFailed("Its process ended.", {"model_name": "bert", "trials": []})

    job = manager.submit("analysis", {"model": "bert"}, DEVICE, fail)
    until(lambda: job.status is RunStatus.FAILED)
    run = history.open(job.run_id)
    assert (run.error, run.record["trials"]) == ("Its process ended.", [])


def test_what_is_known_of_a_running_job_is_the_newest_record(manager):
    def tell(on_event, cancel):
        for text in ("Once", "Once upon"):
            on_event(Event(EventKind.TEXT, text, known=lambda text=text: {"text": text}))
        on_event(Event(EventKind.NOTE, "It goes on"))
        return {}

    job = manager.submit("generate", {"model": "gpt2"}, DEVICE, tell)
    until(lambda: job.status is RunStatus.DONE)
    assert job.known == {"text": "Once upon"}
    assert len(job.events) == 3 and all(event.known is None for event in job.events)


def test_writing_how_a_job_ended_holds_up_no_page(manager, history, gate, monkeypatch):
    """Pages ask how jobs stand while the end of one is written."""
    running = manager.submit("analysis", {"model": "a"}, DEVICE, gate)
    waiting = manager.submit("analysis", {"model": "b"}, DEVICE, quick)
    assert gate.started.wait(5)
    flushing, written = threading.Event(), threading.Event()

    finish = history.finish

    def slow(run_id, status, **result):
        if run_id == waiting.run_id:
            flushing.set()
            assert written.wait(10)
        finish(run_id, status, **result)

    monkeypatch.setattr(history, "finish", create_autospec(finish, side_effect=slow))
    ending = threading.Thread(target=manager.cancel, args=(waiting.run_id,))
    ending.start()
    assert flushing.wait(5)
    assert manager.active(DEVICE) == [running, waiting]
    again = manager.submit("analysis", {"model": "b"}, DEVICE, quick)
    assert again is not waiting
    written.set()
    ending.join(10)
    assert waiting.status is RunStatus.CANCELLED
    gate.go.set()
    until(lambda: again.status is RunStatus.DONE)
    assert waiting.started_at is None


def test_time_left_comes_from_the_share_or_from_an_earlier_run(manager, gate):
    manager.submit("analysis", {"model": "bert"}, DEVICE, quick)
    until(lambda: not manager.active())
    again = manager.submit("analysis", {"model": "bert"}, DEVICE, gate)
    assert gate.started.wait(5)
    assert 2.0 < again.left_seconds <= 3.0
    again.events.append(Event(EventKind.NOTE, "half", progress=0.5))
    assert again.left_seconds == pytest.approx(again.elapsed_seconds, abs=0.05)


def test_runs_of_a_killed_process_are_marked_on_restart(tmp_path, history):
    code = (
        "import sys, threading, time; from pathlib import Path\n"
        "from memorymark.service.jobs import JobManager\n"
        "from memorymark.service.history import RunHistory\n"
        "manager = JobManager(RunHistory(Path(sys.argv[1])))\n"
        "running = threading.Event()\n"
        "work = lambda on_event, cancel: (running.set(), time.sleep(60))\n"
        "job = manager.submit('analysis', {'model': 'a'}, 'cuda:0', work)\n"
        "running.wait()\n"
        "print(job.run_id, flush=True); time.sleep(60)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(history.path)], stdout=subprocess.PIPE, text=True
    )
    run_id = other.stdout.readline().strip()
    JobManager(history).close()
    assert history.open(run_id).status is RunStatus.RUNNING
    other.kill()
    other.wait()
    other.stdout.close()
    JobManager(history).close()
    run = history.open(run_id)
    assert run.status is RunStatus.INTERRUPTED
    assert "ended before" in run.error


def test_history_that_cannot_be_written_fails_the_job(manager, history, monkeypatch):
    full = HistoryUnusable(history.path, "written", "its disk is full")
    monkeypatch.setattr(history, "finish", create_autospec(history.finish, side_effect=full))
    job = manager.submit("analysis", {"model": "a"}, DEVICE, quick)
    until(lambda: job.status is RunStatus.FAILED)
    assert "disk is full" in job.error


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt(), "no JSON"])
def test_the_queue_goes_on_whatever_a_job_does(manager, history, ending):
    def odd(on_event, cancel):
        if isinstance(ending, BaseException):
            raise ending
        return {"model_name": object()}

    job = manager.submit("analysis", {"model": "a"}, DEVICE, odd)
    after = manager.submit("analysis", {"model": "b"}, DEVICE, quick)
    until(lambda: after.status is RunStatus.DONE)
    assert job.status is RunStatus.FAILED
    assert history.open(job.run_id).status is RunStatus.FAILED
    assert not job.error.rstrip().endswith(":")


def test_pages_do_not_wait_for_a_history_that_is_busy(manager, history, monkeypatch):
    entered, go = threading.Event(), threading.Event()

    def busy(*given, **how):
        entered.set()
        assert go.wait(10)

    monkeypatch.setattr(history, "begin", create_autospec(history.begin, side_effect=busy))
    words = ("analysis", {"model": "a"}, DEVICE, quick)
    asking = threading.Thread(target=manager.submit, args=words)
    asking.start()
    assert entered.wait(5)
    assert len(manager.active()) == 1
    go.set()
    asking.join(10)
    until(lambda: not manager.active())


def test_what_was_known_of_a_cancelled_job_is_kept(manager, history):
    partial = analyze_on(FakeProbe(), FakeWorkload(), TrainingConfig())

    def stopped(on_event, cancel):
        raise Cancelled(partial=partial)

    job = manager.submit("analysis", {"model": "a"}, DEVICE, stopped)
    until(lambda: job.status is RunStatus.CANCELLED)
    assert history.open(job.run_id).record["max_batch_size"] == partial.max_batch_size


def test_closing_waits_for_the_trial_that_runs(history, gate):
    manager = JobManager(history)
    job = manager.submit("analysis", {"model": "a"}, DEVICE, gate)
    assert gate.started.wait(5)
    threading.Timer(0.2, gate.go.set).start()
    start = time.monotonic()
    manager.close()
    assert time.monotonic() - start < 8
    assert job.status is RunStatus.CANCELLED
    JobManager(history).close()
    assert history.open(job.run_id).status is RunStatus.CANCELLED


def test_a_damaged_run_keeps_no_job_from_starting_and_can_be_deleted(manager, history):
    run_id = history.save("analysis", {"model_name": "bert"}, request={"model": "bert"})
    with sqlite3.connect(history.path) as connection:
        connection.execute("UPDATE runs SET record = '{broken'")
    connection.close()
    job = manager.submit("analysis", {"model": "bert"}, DEVICE, quick)
    until(lambda: job.status is RunStatus.DONE)
    history.delete(run_id)
    with pytest.raises(RunNotFound):
        history.summary(run_id)


def test_a_job_cancelled_while_it_is_being_written_down_ends_as_cancelled(
    manager, history, monkeypatch
):
    begin = history.begin

    def cancelling(run_id, *given, **how):
        manager.cancel(run_id)
        begin(run_id, *given, **how)

    monkeypatch.setattr(history, "begin", create_autospec(begin, side_effect=cancelling))
    job = manager.submit("analysis", {"model": "a"}, DEVICE, quick)
    until(lambda: job.status is RunStatus.CANCELLED)
    assert history.open(job.run_id).status is RunStatus.CANCELLED
    assert job.events == []


def test_steps_of_a_training_do_not_flood_the_log_and_the_newest_is_told(manager, history):
    def work(on_event, cancel):
        on_event(Event(EventKind.NOTE, "Training"))
        for step in range(1, 41):
            on_event(Event(EventKind.STEP, f"step {step}", progress=step / 40))
            if step == 20:
                on_event(Event(EventKind.NOTE, "Memory ran out"))
        return {"model": "bert"}

    job = manager.submit("train", {}, DEVICE, work)
    until(lambda: not job.status.is_active)
    told = ["Training", "step 20", "Memory ran out", "step 40"]
    assert [event.text for event in job.events] == told and job.share == 1.0
    assert [event["text"] for event in history.events(job.run_id)] == told
