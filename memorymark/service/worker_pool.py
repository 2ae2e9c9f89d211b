"""The worker processes of a server: warm between jobs, and gone when nobody needs them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memorymark.records.event import CancelToken, OnEvent, ignore
from memorymark.records.request import Request
from memorymark.service.messages import NO_MEDIA
from memorymark.service.orphans import OrphanGuard
from memorymark.service.worker_process import WorkerBounds, WorkerFailed, WorkerProcess
from memorymark.settings import Settings
from memorymark.units import GIB

IDLE_SECONDS = 300.0  # then its memory is given back
FOLLOW_UPS_IDLE_SECONDS = 30.0  # nobody waits for the next one
ESTIMATES_IDLE_SECONDS = 3600.0  # sliders and the memory bar do not wait for torch
KEPT_BYTES = 2 * GIB  # a worker that holds more after a job, beside kept models, is replaced
ESTIMATES = "estimates"  # a line of their own: no job holds them up
FOLLOW_UPS = "follow-ups"  # so is theirs: they take what all else leaves
_ON_ACCELERATORS = ("cuda", "mps")
_FRESH = ""  # a worker that has served no line yet
_IDLE_SECONDS = {ESTIMATES: ESTIMATES_IDLE_SECONDS, FOLLOW_UPS: FOLLOW_UPS_IDLE_SECONDS}


@dataclass(frozen=True)
class _Idle:
    """A worker that waits for its line's next job, until its timer ends it."""

    line: str
    worker: WorkerProcess
    timer: threading.Timer


# At most one, with its guard: the next pool takes both.
_early: list[tuple[OrphanGuard, WorkerProcess]] = []


def start_early(settings: Settings) -> None:
    """Start the process of the first job before there is a pool.

    It loads torch while the server loads what it needs itself. Nothing is done where the owner's
    own probes do the work, and where no process can be started: the first job says what is wrong.
    """
    if settings.probe_factory is None and not _early:
        guard = OrphanGuard()
        with contextlib.suppress(OSError):
            _early.append((guard, WorkerProcess(guard, warm=True)))


class WorkerPool:
    """Lends each job a process that has served its line before, or a fresh one.

    Each device has a line, so that what a job has loaded is there for the next one on it.

    Args:
        settings: The owner's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []
        self._busy: dict[WorkerProcess, str] = {}
        self._is_closed = False
        self._guard, early = _early.pop() if _early else (OrphanGuard(), None)
        if early is not None:
            self._give(_FRESH, early)

    def warm(self, line: str = _FRESH) -> None:
        """Start a process that loads torch meanwhile, so that the first job need not wait.

        Args:
            line: Whose job it is kept for; by default it takes the first that comes. Where one
                waits or works there already, nothing is done.

        Raises:
            WorkerFailed: No process can be started.
        """
        with self._lock:
            if line in self._busy.values() or any(idle.line == line for idle in self._idle):
                return
        # The owner's own probes load what they need themselves.
        is_own = self._settings.probe_factory is not None
        self._give(line, self._start(line, warm=not is_own))

    def run(
        self,
        request: Request,
        bounds: WorkerBounds,
        on_event: OnEvent = ignore,
        cancel: CancelToken | None = None,
        line: str | None = None,
        media: Mapping[str, bytes] = NO_MEDIA,
    ) -> dict[str, Any]:
        """Have a request executed in a worker process and return its record, as JSON.

        Args:
            request: What is asked for.
            bounds: What it may take.
            on_event: Called with each event.
            cancel: Stops the work.
            line: Whose workers do it; None takes those of the request's device.
            media: What the files hold that a generation names.

        Raises:
            WorkerFailed: The work failed, or its process ended.
            Cancelled: The work was stopped.
        """
        line, cancel = line or request.lock_name, cancel or CancelToken()
        cancel.check()
        worker = self._take(line)
        try:
            return worker.run(request, self._settings, bounds, on_event, cancel, media)
        finally:
            if line.startswith(_ON_ACCELERATORS):
                self._replace(worker)
            else:
                self._give(line, worker)

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

    def _take(self, line: str) -> WorkerProcess:
        for wanted in (line, _FRESH):
            while (worker := self._pop(wanted, line)) is not None:
                if worker.is_alive:
                    return worker
                self._drop(worker)
        return self._start(line)

    def _pop(self, wanted: str, line: str) -> WorkerProcess | None:
        with self._lock:
            for idle in self._idle:
                if idle.line == wanted:
                    self._idle.remove(idle)
                    idle.timer.cancel()
                    self._busy[idle.worker] = line
                    return idle.worker
        return None

    def _start(self, line: str, *, warm: bool = False) -> WorkerProcess:
        with self._lock:
            if self._is_closed:
                raise WorkerFailed("The server is stopping. Start the run again on the next one.")
            try:
                worker = WorkerProcess(self._guard, warm=warm)
            except OSError as error:
                raise WorkerFailed(f"No process could be started for the job: {error}.") from error
            self._busy[worker] = line
            return worker

    def _give(self, line: str, worker: WorkerProcess) -> None:
        """Take a worker back, unless it is of no more use."""
        is_small = (worker.memory_bytes or 0) <= KEPT_BYTES + self._settings.kept_model_bytes
        with self._lock:
            is_kept = worker.is_ready and is_small and not self._is_closed
            if is_kept:
                self._busy.pop(worker, None)
                seconds = _IDLE_SECONDS.get(line, IDLE_SECONDS)
                timer = threading.Timer(seconds, self._expire, args=(worker, worker.jobs))
                timer.daemon = True
                timer.start()
                self._idle.append(_Idle(line, worker, timer))
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

    def _replace(self, worker: WorkerProcess) -> None:
        """End a worker that has used a GPU, on which its context would stay.

        Another one loads torch meanwhile for the next job, without touching a GPU.
        """
        self._drop(worker)
        with contextlib.suppress(WorkerFailed):  # the next job says what is wrong
            self.warm()

    def _drop(self, worker: WorkerProcess) -> None:
        with self._lock:
            self._busy.pop(worker, None)
        worker.end()
