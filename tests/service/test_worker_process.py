"""Real worker processes: whatever a job does, it ends, and the next one runs."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from generators import saved
from tiny import tiny_llama

from memorymark.errors import Cancelled
from memorymark.records.event import CancelToken, EventKind
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.request import Request, RequestKind
from memorymark.service import worker_process
from memorymark.service.orphans import OrphanGuard
from memorymark.service.worker_main import read_settings, written_settings
from memorymark.service.worker_process import (
    WorkerBounds,
    WorkerFailed,
    WorkerProcess,
    resident_bytes,
)
from memorymark.settings import Settings
from memorymark.units import MIB

TESTS = Path(__file__).parents[1]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def settings(home):
    return Settings(home=home, probe_factory="worker_probe:make_probe", run_key="secret")


@pytest.fixture
def worker(home):
    guard = OrphanGuard()
    worker = WorkerProcess(guard)
    yield worker
    worker.end()
    guard.close()


class Watcher:
    """Gathers events, and sets a flag with the third trial."""

    def __init__(self):
        self.events, self.deed = [], threading.Event()

    def __call__(self, event):
        self.events.append(event)
        if sum(e.kind is EventKind.TRIAL_STARTED for e in self.events) == 3:
            self.deed.set()


def at_the_third_trial(watch, act):
    """Do something as the third trial begins, or after a minute: no test waits for ever."""

    def wait():
        watch.deed.wait(60)
        act()

    waiting = threading.Thread(target=wait)
    waiting.start()
    return waiting


def run(worker, settings, model, bounds=WorkerBounds(), on_event=None, cancel=None):  # noqa: B008
    on_event, cancel = on_event or (lambda event: None), cancel or CancelToken()
    request = Request(RequestKind.ANALYSIS, model, device="cpu")  # a stand-in: no torch is loaded
    return worker.run(request, settings, bounds, on_event, cancel)


def is_there(pid):
    """Whether a process runs; one that has ended and was not waited for does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout.strip()[:1] not in ("", "Z")


def until(said, seconds=10.0):
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("request_", "gives_way"),
    [
        (Request(RequestKind.ANALYSIS, "bert", gpu="a10"), True),
        (Request(RequestKind.ESTIMATE, "bert", gpu="a10", batch_size=8), False),
        (Request(RequestKind.ANALYSIS, "bert", device="cpu"), False),
    ],
)
def test_a_simulated_job_gives_way_to_what_people_wait_for(worker, settings, request_, gives_way):
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    for _ in range(2):
        worker.run(request_, settings, WorkerBounds(), lambda event: None, CancelToken())
        its = os.getpriority(os.PRIO_PROCESS, worker.pid)
        assert its == (max(ours, 5) if gives_way else ours)


def test_what_goes_last_leaves_everything_to_others(worker, settings):
    request = Request(RequestKind.ANALYSIS, "bert", gpu="a10")
    bounds = WorkerBounds(gives_way=lambda: False)
    worker.run(request, settings, bounds, lambda event: None, CancelToken())
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == 19


@LINUX
def test_what_goes_last_stands_still_while_something_else_is_waited_for(worker, settings):
    cancel, waited_for = CancelToken(), threading.Event()
    bounds = WorkerBounds(gives_way=waited_for.is_set)

    def state():
        return Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]

    def work():
        with pytest.raises(Cancelled):
            run(worker, settings, "own:stuck", bounds, cancel=cancel)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: worker.jobs == 1)
    for still in (True, False, True):
        (waited_for.set if still else waited_for.clear)()
        until(lambda still=still: (state() == "T") is still)
    start = time.monotonic()
    cancel.cancel()
    thread.join(5)
    assert time.monotonic() - start < 2


def test_a_worker_takes_one_request_after_another(worker, settings):
    watch = Watcher()
    first = run(worker, settings, "own:chatty", on_event=watch)
    second = run(worker, settings, "bert")
    assert first["max_batch_size"] == second["max_batch_size"] == 192
    assert first["model_name"] == "own:chatty"
    assert watch.events[0].kind is EventKind.PHASE
    assert watch.events[-1].progress == 1.0
    assert worker.is_ready and worker.is_alive


def test_errors_of_a_job_are_its_sentences_and_the_worker_stays(worker, settings):
    with pytest.raises(WorkerFailed, match="it is broken"):
        run(worker, settings, "own:broken")
    with pytest.raises(WorkerFailed, match="BaseException: enough") as failed:
        run(worker, settings, "own:odd")
    assert len(failed.value.partial["trials"]) == 2
    left = run(worker, settings, "own:exit")
    assert left["trials"][2]["error"] == "SystemExit: enough"
    assert worker.is_ready
    assert run(worker, settings, "bert")["max_batch_size"] == 192


def test_a_worker_that_lost_its_device_takes_no_more_jobs(worker, settings):
    assert "start it again" in run(worker, settings, "own:poison")["trials"][2]["error"]
    assert not worker.is_ready


def test_a_fork_of_a_job_answers_nothing(worker, settings):
    assert run(worker, settings, "own:forking")["max_batch_size"] == 192
    assert run(worker, settings, "bert")["model_name"] == "bert"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("own:vanish", "exit code 7"),
        ("own:crash", "signal SIGSEGV"),
        ("own:garbage", "it sent what is no message"),
        ("own:silent", "exit code 1|SIGKILL"),
        ("own:flood", "more than"),
    ],
)
def test_a_process_that_ends_or_talks_nonsense_fails_its_job(worker, settings, model, words):
    with pytest.raises(WorkerFailed, match=words) as failed:
        run(worker, settings, model)
    assert "start it again" in str(failed.value)
    assert len(failed.value.partial["trials"]) == 2
    assert not worker.is_ready
    assert not is_there(worker.pid)


@pytest.mark.parametrize("model", ["own:stuck", "own:deaf"])
def test_a_job_that_does_not_stop_is_ended_within_two_seconds(worker, settings, model):
    watch, cancel, told = Watcher(), CancelToken(), []

    def stop():
        told.append(time.monotonic())
        cancel.cancel()

    stopping = at_the_third_trial(watch, stop)
    with pytest.raises(Cancelled) as stopped:
        run(worker, settings, model, on_event=watch, cancel=cancel)
    assert time.monotonic() - told[0] < 2.0
    stopping.join()
    known = stopped.value.partial
    assert [trial["outcome"] for trial in known["trials"]] == ["ok", "ok"]
    assert known["complete"] is False
    assert not is_there(worker.pid)


@pytest.mark.parametrize(("kind", "done"), [("backward", 2), ("comparison", 0)])
def test_other_jobs_end_within_two_seconds_too_and_keep_what_is_done(worker, settings, kind, done):
    watch, cancel, told = Watcher(), CancelToken(), []
    target = {"gpus": ("a10", "t4")} if kind == "comparison" else {"device": "cpu"}

    def stop():
        told.append(time.monotonic())
        cancel.cancel()

    stopping = at_the_third_trial(watch, stop)
    request = Request(RequestKind(kind), "own:deaf", **target)
    with pytest.raises(Cancelled) as stopped:
        worker.run(request, settings, WorkerBounds(), watch, cancel)
    assert time.monotonic() - told[0] < 2.0
    stopping.join()
    known = stopped.value.partial
    ran = [trial["outcome"] for trial in (known or {}).get("trials", ())]
    assert ran.count("ok") == done
    assert not is_there(worker.pid)


def test_a_text_that_does_not_stop_when_told_to_is_kept_as_far_as_it_was_heard(worker, tmp_path):
    saved(tiny_llama(), tmp_path / "model")
    plan = GenerationPlan(max_new_tokens=500, prompt_tokens=8)
    model = f"hf:{tmp_path / 'model'}"
    request = Request(RequestKind.GENERATE, model, device="cpu", generation=plan)
    heard, cancel = [], CancelToken()

    def hear(event):
        if event.kind is not EventKind.TEXT:
            return
        heard.append(event.text)
        assert event.known()["text"] == "".join(heard)
        if len(heard) == 3:
            os.kill(worker.pid, signal.SIGSTOP)  # as a machine does that is too busy
            cancel.cancel()

    with pytest.raises(Cancelled) as stopped:
        worker.run(request, Settings(home=tmp_path), WorkerBounds(), hear, cancel)
    known = stopped.value.partial
    assert known["text"] == "".join(heard) and known["new_tokens"] == len(heard) >= 3
    assert known["stopped_by"] == "stopped"
    assert known["predicted_peak_bytes"] == known["peak_allocated_bytes"]


def test_a_job_that_stops_when_told_to_leaves_its_worker(worker, settings):
    watch, cancel = Watcher(), CancelToken()
    at_the_third_trial(watch, cancel.cancel)
    with pytest.raises(Cancelled) as stopped:
        run(worker, settings, "own:slow", on_event=watch, cancel=cancel)
    assert stopped.value.partial["stopped_by"] == "Cancelled by the user."
    assert len(stopped.value.partial["trials"]) == 3
    assert worker.is_ready
    assert run(worker, settings, "own:slow")["max_batch_size"] == 192


def test_a_process_killed_from_outside_fails_its_job(worker, settings):
    watch = Watcher()

    at_the_third_trial(watch, lambda: os.kill(worker.pid, signal.SIGKILL))
    with pytest.raises(WorkerFailed, match=r"SIGKILL.*memory runs out"):
        run(worker, settings, "own:stuck", on_event=watch)


@pytest.mark.parametrize("model", ["own:parent", "own:forking_parent"])
def test_no_process_that_a_job_started_is_left(worker, settings, home, monkeypatch, model):
    monkeypatch.setattr(worker_process, "GRACE_SECONDS", 0.1)
    cancel, children = CancelToken(), []

    def stop():
        until((home / "child.pid").exists)
        children.append(int((home / "child.pid").read_text()))
        if model == "own:parent":
            cancel.cancel()

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises((Cancelled, WorkerFailed)):
        run(worker, settings, model, cancel=cancel)
    stopping.join()
    until(lambda: not is_there(children[0]))


@LINUX
def test_a_simulation_that_takes_too_much_memory_is_ended(worker, settings):
    words = r"512\.0 MiB that MEMORYMARK_BOUNDS"
    with pytest.raises(WorkerFailed, match=words) as failed:
        run(worker, settings, "own:greedy", WorkerBounds(memory_bytes=512 * MIB))
    assert len(failed.value.partial["trials"]) == 2
    assert not is_there(worker.pid)


def test_a_simulation_that_takes_too_long_is_ended(worker, settings):
    run(worker, settings, "bert")
    with pytest.raises(WorkerFailed, match=r"took longer than .* MEMORYMARK_BOUNDS"):
        run(worker, settings, "own:stuck", WorkerBounds(seconds=0.3))


@LINUX
def test_resident_memory_is_read_or_unknown():
    assert resident_bytes(os.getpid()) > MIB
    assert resident_bytes(2**22 + 1) is None


def test_settings_reach_the_worker_without_the_key(tmp_path):
    settings = Settings(tmp_path, "key", True, ("a@x.org",), ("p:f",), "p:g", 5.0)
    written = written_settings(settings)
    assert "key" not in written.values()
    read = read_settings({**written, "workloads": list(written["workloads"])})
    assert read == Settings(tmp_path, None, True, ("a@x.org",), ("p:f",), "p:g", 5.0)


def test_the_key_is_in_no_environment_but_the_servers(monkeypatch):
    given = []

    def note(command, *, env, **how):
        given.append(env)
        raise OSError("not started")

    monkeypatch.setenv("MEMORYMARK_RUN_KEY", "secret")
    monkeypatch.setattr(subprocess, "Popen", note)
    for start in (lambda: WorkerProcess(OrphanGuard()), lambda: OrphanGuard().add(1)):
        with pytest.raises(OSError, match="not started"):
            start()
    assert len(given) == 2
    assert not any("secret" in environment.values() for environment in given)


SERVER = """
import sys, threading
from memorymark.records.event import CancelToken
from memorymark.records.request import Request, RequestKind
from memorymark.service.worker_pool import WorkerPool
from memorymark.service.worker_process import WorkerBounds
from memorymark.settings import load_settings
pool = WorkerPool(load_settings())
pool.warm()
request = Request(RequestKind.ANALYSIS, sys.argv[1], device="cpu")
def work():
    pool.run(request, WorkerBounds())
threading.Thread(target=work, daemon=True).start()
while len(pool.workers) < 1: pass
print(*[w.pid for w in pool.workers], pool._guard._process.pid, flush=True)
threading.Event().wait(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_gone_leaves_no_process(settings, home, number):
    """Its worker holds the interpreter's lock in foreign code, and has a child of its own."""
    variables = {
        **os.environ,
        "MEMORYMARK_PROBE_FACTORY": settings.probe_factory,
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
    }
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, "own:parent"],
        env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with server:
        pids = [int(word) for word in server.stdout.readline().split()]
        until((home / "child.pid").exists)
        pids.append(int((home / "child.pid").read_text()))
        assert all(is_there(pid) for pid in pids)
        server.send_signal(number)
        server.wait(10)
    until(lambda: not any(is_there(pid) for pid in pids))


def test_an_interrupt_in_the_terminal_does_not_reach_workers(worker):
    assert os.getsid(worker.pid) == worker.pid != os.getsid(0)


@pytest.mark.parametrize("kind", list(RequestKind))
def test_a_training_has_time_to_save_and_nothing_else_has(kind):
    saves = kind in (RequestKind.TRAIN, RequestKind.COMPARE_TRAINING)
    assert (worker_process.grace_seconds(kind) >= 60) is saves
