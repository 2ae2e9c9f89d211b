"""A crowd at a server with the engine itself: how many jobs it lets in, and how large it grows."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from app_server import server
from processes import private_bytes, workers_of
from viewer import Viewer

from memorymark.service.admission import MAX_ACTIVE_JOBS
from memorymark.service.history import RunHistory, RunStatus
from memorymark.service.worker_process import resident_bytes

LOADS, SESSIONS, STARTS = 100, 30, 60
CROWD_LIMITS = {
    "page_seconds": 0.5,
    "jobs_at_once": float(MAX_ACTIVE_JOBS),
    "server_growth_mib": 32.0,
    "server_private_growth_mib": 16.0,
    "server_mib": 600.0,
    "workers_growth_mib": 200.0,
    "workers": 2.0,
}
_MIB = 1024**2
_ACTIVE = [status for status in RunStatus if status.is_active]


@dataclass(frozen=True)
class _Sizes:
    """Bytes of the server, resident and its own, of its workers, and how many these are."""

    server: int
    private: int
    workers: int
    count: int


class Crowd:
    """What many visitors do at once.

    Args:
        address: Of the server.
        history: Of the server.
    """

    def __init__(self, address: str, history: RunHistory) -> None:
        self.address, self.history = address, history
        self.page_seconds: list[float] = []
        self.jobs_at_once = 0
        self.asked = 0

    async def round(self) -> None:
        """Load pages, keep sessions open, and start jobs from them; wait for the jobs."""
        for _ in range(LOADS // 10):
            await asyncio.gather(*(self._load() for _ in range(10)))
        await asyncio.gather(*(self._session() for _ in range(SESSIONS)))
        looking = asyncio.create_task(self._count_jobs())
        await asyncio.gather(*(self._start() for _ in range(STARTS)))
        while self._active():
            await asyncio.sleep(0.5)
        looking.cancel()
        for run in self.history.list(limit=MAX_ACTIVE_JOBS):
            await self._load(f"run={run.run_id}")

    async def _load(self, query: str = "") -> None:
        viewer = Viewer(self.address)
        start = time.perf_counter()
        await viewer.open(query)
        self.page_seconds.append(time.perf_counter() - start)
        await viewer.close()

    async def _session(self) -> None:
        viewer = Viewer(self.address)
        await viewer.open()
        for number in range(5):
            await viewer.rerun(Current_batch=float(10 + number))
        await viewer.close()

    async def _start(self) -> None:
        """Start an analysis that nobody else asked for."""
        self.asked += 1
        viewer = Viewer(self.address)
        await viewer.open(f"seq_len={64 + self.asked}")
        await viewer.rerun(Analyze=True)
        await viewer.close()

    async def _count_jobs(self) -> None:
        while True:
            self.jobs_at_once = max(self.jobs_at_once, self._active())
            await asyncio.sleep(0.05)

    def _active(self) -> int:
        return len(self.history.find(statuses=_ACTIVE, limit=10 * STARTS))


async def crowd_figures(rounds: int) -> dict[str, float]:
    """Send the crowd to a fresh server, round after round; growth is that of the last round."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with server(home, MEMORYMARK_PROBE_FACTORY="") as address:
            pid = int(next(home.glob("server-*.pid")).read_text())
            crowd = Crowd(address, RunHistory(home / "runs.sqlite3"))
            await crowd._load()
            sizes, start = [_sizes(pid)], time.perf_counter()
            for _ in range(rounds):
                await crowd.round()
                sizes.append(_sizes(pid))
            took = time.perf_counter() - start
            runs = crowd.history.list(limit=10 * STARTS)
    assert all(run.status is RunStatus.DONE for run in runs), [run.error for run in runs]
    before, last = sizes[-2], sizes[-1]
    rounds_mib = {f"server_round_{n}_mib": size.server / _MIB for n, size in enumerate(sizes)}
    private = {f"server_private_round_{n}_mib": size.private / _MIB for n, size in enumerate(sizes)}
    return {
        "page_seconds": statistics.median(crowd.page_seconds),
        "page_worst_seconds": max(crowd.page_seconds),
        "pages": len(crowd.page_seconds),
        "jobs_at_once": crowd.jobs_at_once,
        "jobs_asked_for": crowd.asked,
        "jobs_done": len(runs),
        **rounds_mib,
        **private,
        "server_mib": last.server / _MIB,
        "server_growth_mib": (last.server - before.server) / _MIB,
        "server_private_growth_mib": (last.private - before.private) / _MIB,
        "workers": last.count,
        "workers_mib": last.workers / _MIB,
        "workers_growth_mib": (last.workers - before.workers) / _MIB,
        "crowd_seconds": took,
    }


def _sizes(server_pid: int) -> _Sizes:
    workers = workers_of(server_pid)
    return _Sizes(
        resident_bytes(server_pid) or 0,
        private_bytes(server_pid),
        sum(resident_bytes(pid) or 0 for pid in workers),
        len(workers),
    )
