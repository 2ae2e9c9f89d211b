import sys
import threading
import time

import pytest

from memorymark.records.request import Request, RequestKind
from memorymark.service import worker_pool, worker_process
from memorymark.service.worker_pool import WorkerPool
from memorymark.service.worker_process import WorkerBounds, WorkerFailed
from memorymark.settings import Settings
from memorymark.units import GIB

NO_BOUNDS = WorkerBounds()
REQUEST = Request(RequestKind.ANALYSIS, "bert", device="cpu")
ELSEWHERE = Request(RequestKind.ANALYSIS, "bert", gpu="l4")
ON_A_GPU = Request(RequestKind.ANALYSIS, "bert", device="cuda:0")


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    pool = WorkerPool(Settings(home=tmp_path, probe_factory="worker_probe:make_probe"))
    yield pool
    pool.close()


def pids(pool):
    return sorted(worker.pid for worker in pool.workers)


def until(said, seconds=10.0):
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_a_device_keeps_its_worker_and_the_first_takes_the_warm_one(pool):
    pool.warm()
    (warm,) = pids(pool)
    pool.run(REQUEST, NO_BOUNDS)
    assert pids(pool) == [warm]
    pool.run(ELSEWHERE, NO_BOUNDS)
    assert len(pids(pool)) == 2
    both = pids(pool)
    pool.run(REQUEST, NO_BOUNDS)
    pool.run(ELSEWHERE, NO_BOUNDS)
    assert pids(pool) == both


def test_nothing_of_a_job_stays_on_a_gpu_and_the_next_one_finds_a_fresh_worker(pool):
    pool.run(ON_A_GPU, NO_BOUNDS)
    (first,) = pids(pool)
    pool.run(ON_A_GPU, NO_BOUNDS)
    (second,) = pids(pool)
    assert first != second


def test_a_line_of_its_own_is_not_held_up_by_a_job(pool, tmp_path):
    pool.warm(worker_pool.ESTIMATES)
    pool.warm(worker_pool.ESTIMATES)
    (kept,) = pids(pool)
    held = Request(RequestKind.ANALYSIS, "own:held", device="cpu")
    job = threading.Thread(target=pool.run, args=(held, NO_BOUNDS))
    job.start()
    until(lambda: len(pids(pool)) == 2)
    asked = Request(RequestKind.ANALYSIS, "bert", gpu="l4")  # it waits for no device
    assert pool.run(asked, NO_BOUNDS, line=worker_pool.ESTIMATES)["model_name"] == "bert"
    assert kept in pids(pool) and len(pids(pool)) == 2
    (tmp_path / "go").touch()
    job.join(20)


def test_jobs_at_once_work_in_workers_of_their_own(pool, tmp_path):
    held = Request(RequestKind.ANALYSIS, "own:held", device="cpu")
    threads = [threading.Thread(target=pool.run, args=(held, NO_BOUNDS)) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: len(pids(pool)) == 2)
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join(20)


def test_a_worker_that_is_gone_is_replaced(pool):
    pool.run(REQUEST, NO_BOUNDS)
    (worker,) = pool.workers
    worker._process.kill()
    worker._process.wait()
    assert pool.run(REQUEST, NO_BOUNDS)["model_name"] == "bert"
    assert worker not in pool.workers
    with pytest.raises(WorkerFailed):
        pool.run(Request(RequestKind.ANALYSIS, "own:vanish", device="cpu"), NO_BOUNDS)
    assert pool.workers == ()


def test_idle_workers_give_their_memory_back(pool, monkeypatch):
    monkeypatch.setattr(worker_pool, "IDLE_SECONDS", 0.2)
    pool.run(REQUEST, NO_BOUNDS)
    pool.run(REQUEST, NO_BOUNDS)
    assert len(pool.workers) == 1
    until(lambda: pool.workers == ())


def test_many_quick_jobs_leave_no_thread_each(pool):
    before = threading.enumerate()
    for _ in range(10):
        pool.run(REQUEST, NO_BOUNDS)
    until(lambda: len(set(threading.enumerate()) - set(before)) <= 1)
    waiting = set(threading.enumerate()) - set(before)
    assert len(waiting) == len(pool.workers) == 1
    pool.close()
    until(lambda: not any(each.is_alive() for each in waiting))


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_a_worker_that_has_grown_is_replaced(pool, monkeypatch):
    monkeypatch.setattr(worker_pool, "KEPT_BYTES", 1 - GIB)  # beside the kept models' share
    pool.run(REQUEST, NO_BOUNDS)
    assert pool.workers == ()


def test_closing_ends_the_work_that_runs(pool):
    stuck = Request(RequestKind.ANALYSIS, "own:stuck", device="cpu")
    failures = []

    def work():
        try:
            pool.run(stuck, NO_BOUNDS)
        except WorkerFailed as failure:
            failures.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: pool.workers)
    pool.close()
    thread.join(5)
    assert len(failures) == 1
    assert pool.workers == ()
    with pytest.raises(WorkerFailed, match="stopping"):
        pool.run(REQUEST, NO_BOUNDS)


def test_a_process_that_cannot_be_started_is_said(pool, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(WorkerFailed, match="No process could be started"):
        pool.run(REQUEST, NO_BOUNDS)


@pytest.fixture
def started(monkeypatch):
    """Processes that are started early, here without loading torch."""
    processes = []

    def start(guard, *, warm):
        processes.append(worker_process.WorkerProcess(guard, warm=False))
        return processes[-1]

    monkeypatch.setattr(worker_pool, "WorkerProcess", start)
    yield processes
    worker_pool._early.clear()
    for process in processes:
        process.end()


def test_the_first_job_takes_the_process_that_was_started_before_the_pool(started, tmp_path):
    worker_pool.start_early(Settings(home=tmp_path))
    worker_pool.start_early(Settings(home=tmp_path))
    (early,) = started
    pool = WorkerPool(Settings(home=tmp_path, probe_factory="worker_probe:make_probe"))
    pool.warm()
    assert pids(pool) == [early.pid]
    pool.run(REQUEST, NO_BOUNDS)
    assert pids(pool) == [early.pid]
    pool.close()
    until(lambda: not early.is_alive)
    other = WorkerPool(Settings(home=tmp_path))
    assert not other.workers


def test_nothing_is_started_early_where_the_owners_probes_do_the_work(started, tmp_path):
    worker_pool.start_early(Settings(home=tmp_path, probe_factory="worker_probe:make_probe"))
    assert not started


def test_what_cannot_be_started_early_is_told_by_the_first_job(monkeypatch, tmp_path):
    def fail(*given, **more):
        raise OSError("no more processes")

    monkeypatch.setattr(worker_pool, "WorkerProcess", fail)
    worker_pool.start_early(Settings(home=tmp_path))
    pool = WorkerPool(Settings(home=tmp_path))
    with pytest.raises(WorkerFailed, match="no more processes"):
        pool.run(REQUEST, NO_BOUNDS)
    pool.close()
