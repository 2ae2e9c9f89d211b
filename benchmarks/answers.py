"""How soon the app has its first answer, and what a second analysis of a model saves."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from pathlib import Path

from app_server import server
from viewer import Viewer

from memorymark.records.config import TrainingConfig
from memorymark.records.request import Request, RequestKind
from memorymark.service.access import AppService
from memorymark.service.guard import Visitor
from memorymark.service.history import RunHistory, RunStatus
from memorymark.service.worker_process import resident_bytes
from memorymark.settings import Settings

ANSWER_LIMITS = {"first_answer_seconds": 5.0, "second_analysis_builds": 0.0}
_FIRST_ANSWER = re.compile(r"about [\d,]+ fit|[Ll]argest batch that fits: ")
_LOADED = "bert is loaded already."
_TICK_SECONDS = 0.01
_MIB = 1024**2


def answer_figures() -> dict[str, float]:
    """Measure a server that starts, then a service of its own, with real workers."""
    with tempfile.TemporaryDirectory() as folder:
        first = asyncio.run(_first_seconds(Path(folder)))
    with tempfile.TemporaryDirectory() as folder:
        service = AppService(Settings(home=Path(folder)))
        try:
            service.begin()
            _analysis(service, 3, seq_len=76)  # its worker loads torch with the first one
            return {**first, **_figures(service)}
        finally:
            service.close()


def _figures(service: AppService) -> dict[str, float]:
    first, second = (_analysis(service, batch_size) for batch_size in (1, 2))
    workers = [resident_bytes(worker.pid) or 0 for worker in service.workers.workers]
    return {
        "first_analysis_seconds": first[0],
        "second_analysis_seconds": second[0],
        "second_analysis_builds": float(not second[1]),
        "processes_of_workers": len(workers),
        "workers_mib": sum(workers) / _MIB,
    }


class _FirstAnswer(Viewer):
    """A page opened as soon as there is a server; it says when it shows how many fit."""

    def _note(self, element: object) -> None:
        super()._note(element)
        if _FIRST_ANSWER.search(str(element)) and not self.answered.is_set():
            self.answered_at = time.perf_counter()
            self.answered.set()


async def _first_seconds(home: Path) -> dict[str, float]:
    """Seconds from the server's first answer to the page's first figure, and to the record."""
    with server(home, MEMORYMARK_PROBE_FACTORY="", MEMORYMARK_FIRST_RUN="") as address:
        start, history = time.perf_counter(), RunHistory(home / "runs.sqlite3")
        viewer = _FirstAnswer(address)
        await viewer.open()
        watching = asyncio.create_task(viewer.watch())
        while not history.find(statuses=[RunStatus.DONE]):
            await asyncio.sleep(_TICK_SECONDS)
        record = time.perf_counter() - start
        await viewer.answered.wait()
        watching.cancel()
        await viewer.close()
    return {
        "first_answer_seconds": viewer.answered_at - start,
        "first_record_seconds": record,
    }


def _analysis(service: AppService, batch_size: int, seq_len: int = 77) -> tuple[float, bool]:
    """Seconds of an analysis, and whether its model was there already."""
    request = Request(
        RequestKind.ANALYSIS,
        "bert",
        TrainingConfig(seq_len=seq_len),
        gpu="a10",
        batch_size=batch_size,
    )
    job = service.start(request, Visitor(session="analysis"))
    while job.status.is_active:
        time.sleep(_TICK_SECONDS)
    assert job.status is RunStatus.DONE, job.error
    return job.elapsed_seconds, any(event.text == _LOADED for event in job.events)
