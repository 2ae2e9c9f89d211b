"""The worker processes of a server: warm between jobs, and gone when nobody needs them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from memorymark.records.event import CancelToken, OnEvent, ignore
from memorymark.records.request import Request
from memorymark.service.orphans import OrphanGuard
from memorymark.service.worker_process import WorkerBounds, WorkerFailed, WorkerProcess
from memorymark.settings import Settings
from memorymark.units import GIB

IDLE_SECONDS = 300.0  # then its memory is given back
KEPT_BYTES = 2 * GIB  # a worker that holds more after a job is replaced
_FRESH = ""  # a worker that has served no device yet


@dataclass(frozen=True)
class _Idle:
    """A worker that waits for its device's next job, until its timer ends it."""

    device: str
    worker: WorkerProcess
    timer: threading.Timer


class WorkerPool:
    """Lends each job a process that has served its device before, or a fresh one.

    Args:
        settings: The owner's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._guard = OrphanGuard()
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []
        self._busy: set[WorkerProcess] = set()
        self._is_closed = False

    def warm(self) -> None:
        """Start a process that loads torch meanwhile, so that the first job need not wait."""
        # The owner's own probes load what they need themselves.
        is_own = self._settings.probe_factory is not None
        self._give(_FRESH, self._start(warm=not is_own))

    def run(
        self,
        request: Request,
        bounds: WorkerBounds,
        on_event: OnEvent = ignore,
        cancel: CancelToken | None = None,
    ) -> dict[str, Any]:
        """Have a request executed in a worker process and return its record, as JSON.

        Raises:
            WorkerFailed: The work failed, or its process ended.
            Cancelled: The work was stopped.
        """
        device, cancel = request.lock_name, cancel or CancelToken()
        cancel.check()
        worker = self._take(device)
        try:
            return worker.run(request, self._settings, bounds, on_event, cancel)
        finally:
            self._give(device, worker)

    @property
    def workers(self) -> tuple[WorkerProcess, ...]:
        """The processes that there are."""
        with self._lock:
            return (*self._busy, *(idle.worker for idle in self._idle))

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._is_closed = True
            idle, busy = self._idle.copy(), list(self._busy)
            self._idle.clear()
        for each in idle:
            each.timer.cancel()
            each.worker.end()
        for worker in busy:
            worker.end()
        self._guard.close()

    def _take(self, device: str) -> WorkerProcess:
        for wanted in (device, _FRESH):
            while (worker := self._pop(wanted)) is not None:
                if worker.is_alive:
                    return worker
                self._drop(worker)
        return self._start()

    def _pop(self, device: str) -> WorkerProcess | None:
        with self._lock:
            for idle in self._idle:
                if idle.device == device:
                    self._idle.remove(idle)
                    idle.timer.cancel()
                    self._busy.add(idle.worker)
                    return idle.worker
        return None

    def _start(self, *, warm: bool = False) -> WorkerProcess:
        with self._lock:
            if self._is_closed:
                raise WorkerFailed("The server is stopping. Start the run again on the next one.")
            try:
                worker = WorkerProcess(self._guard, warm=warm)
            except OSError as error:
                raise WorkerFailed(f"No process could be started for the job: {error}.") from error
            self._busy.add(worker)
            return worker

    def _give(self, device: str, worker: WorkerProcess) -> None:
        """Take a worker back, unless it is of no more use."""
        is_small = (worker.memory_bytes or 0) <= KEPT_BYTES
        with self._lock:
            is_kept = worker.is_ready and is_small and not self._is_closed
            if is_kept:
                self._busy.discard(worker)
                timer = threading.Timer(IDLE_SECONDS, self._expire, args=(worker, worker.jobs))
                timer.daemon = True
                timer.start()
                self._idle.append(_Idle(device, worker, timer))
        if not is_kept:
            self._drop(worker)

    def _expire(self, worker: WorkerProcess, jobs: int) -> None:
        """End a worker that has done nothing since."""
        with self._lock:
            still = [it for it in self._idle if it.worker is worker and worker.jobs == jobs]
            for idle in still:
                self._idle.remove(idle)
        if still:
            worker.end()

    def _drop(self, worker: WorkerProcess) -> None:
        with self._lock:
            self._busy.discard(worker)
        worker.end()
