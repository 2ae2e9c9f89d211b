"""How soon the app has its first answer, and how soon the memory bar follows a changed setting."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path

from app_server import server

from memorymark.records.config import TrainingConfig
from memorymark.records.request import Request, RequestKind
from memorymark.service.access import AppService
from memorymark.service.guard import Visitor
from memorymark.service.history import RunHistory, RunStatus
from memorymark.service.worker_process import resident_bytes
from memorymark.settings import Settings

ANSWER_LIMITS = {"first_record_seconds": 5.0, "bar_seconds": 1.0, "bar_beside_a_job_seconds": 1.0}
VISITORS, CHANGES = 3, 10
_LOADED = "bert is loaded already."
_TICK_SECONDS = 0.01
_MIB = 1024**2


def answer_figures() -> dict[str, float]:
    """Measure a server that starts, then a service of its own, with real workers."""
    with tempfile.TemporaryDirectory() as folder:
        first = _first_record_seconds(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        service = AppService(Settings(home=Path(folder)))
        try:
            service.begin()
            _bar_seconds(service, 1, 8)  # its worker loads torch with the first question
            return {"first_record_seconds": first, **_figures(service)}
        finally:
            service.close()


def _figures(service: AppService) -> dict[str, float]:
    quiet = _bar_seconds(service, 1, 16)
    job = service.start(Request(RequestKind.COMPARISON, "gpt2"), Visitor(session="job"))
    beside = _bar_seconds(service, VISITORS, 200)
    job_ran = job.status.is_active
    service.cancel(job.run_id, Visitor())
    first, second = (_analysis(service, batch_size) for batch_size in (1, 2))
    workers = [resident_bytes(worker.pid) or 0 for worker in service.workers.workers]
    return {
        "bar_seconds": statistics.median(quiet),
        "bar_worst_seconds": max(quiet),
        "bar_beside_a_job_seconds": statistics.median(beside),
        "bar_beside_a_job_worst_seconds": max(beside),
        "visitors_beside_a_job": VISITORS,
        "job_ran_to_the_end_of_it": float(job_ran),
        "first_analysis_seconds": first[0],
        "second_analysis_seconds": second[0],
        "second_analysis_skips_the_build": float(second[1]),
        "processes_of_workers": len(workers),
        "workers_mib": sum(workers) / _MIB,
    }


def _first_record_seconds(home: Path) -> float:
    """Seconds from the server's first answer to the record of the default analysis."""
    with server(home, MEMORYMARK_PROBE_FACTORY="", MEMORYMARK_FIRST_RUN="") as _:
        start, history = time.perf_counter(), RunHistory(home / "runs.sqlite3")
        while not history.find(statuses=[RunStatus.DONE]):
            time.sleep(_TICK_SECONDS)
        return time.perf_counter() - start


def _bar_seconds(service: AppService, visitors: int, first: int) -> list[float]:
    """Seconds from each change of visitors at once, each in a thread, to the answer."""
    taken: list[float] = []

    def move(number: int) -> None:
        visitor = Visitor(session=f"visitor {number}")
        for change in range(CHANGES):
            config = TrainingConfig(seq_len=first + CHANGES * number + change)
            request = Request(RequestKind.ANALYSIS, "bert", config, gpu="a10")
            start = time.perf_counter()
            while (answer := service.estimate(request, 16, visitor)) is None:
                time.sleep(_TICK_SECONDS)
            assert answer.trial is not None, answer.error
            taken.append(time.perf_counter() - start)

    threads = [threading.Thread(target=move, args=(number,)) for number in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def _analysis(service: AppService, batch_size: int) -> tuple[float, bool]:
    """Seconds of an analysis, and whether its model was there already."""
    request = Request(
        RequestKind.ANALYSIS, "bert", TrainingConfig(seq_len=77), gpu="a10", batch_size=batch_size
    )
    job = service.start(request, Visitor(session="analysis"))
    while job.status.is_active:
        time.sleep(_TICK_SECONDS)
    assert job.status is RunStatus.DONE, job.error
    return job.elapsed_seconds, any(event.text == _LOADED for event in job.events)
