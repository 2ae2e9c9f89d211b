"""Background jobs: one at a time per device, in a visible queue, with an event stream.

A job's id is the id of the run that it makes, so one link shows its progress and then its
result. The result is in the run history before the job says that it is done. Each manager
holds a lock that ends with its process: runs that were active under a manager whose lock is
free were interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from memorymark.errors import Cancelled, MemoryMarkError, RunNotFound, one_sentence
from memorymark.probes.lease import Owner
from memorymark.records.codec import Record
from memorymark.records.event import Event, EventKind
from memorymark.service.event_log import EventLog
from memorymark.service.history import RunHistory, RunStatus, new_run_id
from memorymark.service.job import Job, Work

Admit = Callable[[Sequence[Job]], None]

KEPT_JOBS = 50
_CLOSE_SECONDS = 10.0
_log = logging.getLogger(__name__)


def _everybody(active: Sequence[Job]) -> None:
    """Let another job be made, however many are active."""


class JobManager:
    """Runs jobs in worker threads, one for each device.

    Args:
        history: Where runs are kept.
        locks_folder: Folder of the device locks; None takes a folder beside the history.
    """

    def __init__(self, history: RunHistory, locks_folder: Path | None = None) -> None:
        self.history = history
        self._guard = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._queues: dict[str, queue.Queue[Job | None]] = {}
        self._workers: list[threading.Thread] = []
        self._owner = _owner(locks_folder or history.path.parent / "locks")
        self._log = EventLog(history)
        history.tidy()

    def submit(
        self,
        kind: str,
        request: dict[str, Any],
        device: str,
        work: Work,
        *,
        identity: dict[str, Any] | None = None,
        visitor: str | None = None,
        admit: Admit = _everybody,
    ) -> Job:
        """Queue a job; the same request that is already active is not queued twice.

        Args:
            kind: analysis, backward, compile or comparison.
            request: What is asked for, as JSON.
            device: Name of the lock of the device that it needs.
            work: Does the work and returns the record, as JSON.
            identity: What makes two requests equal; None takes the whole request.
            visitor: Who asks.
            admit: Called before a job is made, with those that are active, none of which can end
                or begin meanwhile; it raises where there is no place for another.
        """
        expected = self._expected_seconds(kind, request)
        key = _key(kind, request if identity is None else identity)
        with self._guard:
            for job in self._jobs.values():
                if job.status.is_active and job.key == key and not job.token.cancelled:
                    return job
            admit([job for job in self._jobs.values() if job.status.is_active])
            job = Job(new_run_id(), kind, request, device, work, key, visitor)
            job.expected_seconds = expected
            self._jobs[job.run_id] = job
            self._forget_old()
        try:
            self._begin(job)
        except BaseException:  # it will never run: it takes no place
            job.status = RunStatus.FAILED
            raise
        return job

    def get(self, run_id: str) -> Job | None:
        """Return a job of this manager; older ones are in the history only."""
        return self._jobs.get(run_id)

    def active(self, device: str | None = None) -> list[Job]:
        """Return the jobs that work or wait, in the order in which they were asked for."""
        with self._guard:
            jobs = [job for job in self._jobs.values() if job.status.is_active]
        return [job for job in jobs if device is None or job.device == device]

    def ahead_of(self, job: Job) -> list[Job]:
        """Return the jobs that run before this one on its device."""
        line = self.active(job.device)
        return line[: line.index(job)] if job in line else []

    def cancel(self, run_id: str) -> None:
        """Ask a job to stop; it ends at once while it waits, else when its work does.

        Raises:
            RunNotFound: This manager has no such job.
        """
        job = self.get(run_id)
        if job is None:
            raise RunNotFound(f"There is no active job {run_id!r} to cancel.")
        job.token.cancel()
        with self._guard:
            waits = job.status is RunStatus.QUEUED and not job.is_ending
            job.is_ending |= waits
        if waits:
            self._end(job, RunStatus.CANCELLED)

    def close(self) -> None:
        """Stop all jobs, and wait a while for the trials that are running to end."""
        for job in self.active():
            self.cancel(job.run_id)
        for line in self._queues.values():
            line.put(None)
        until = time.monotonic() + _CLOSE_SECONDS
        for worker in self._workers:
            worker.join(max(0.0, until - time.monotonic()))
        self._log.close()
        if self._owner is not None:
            self._owner.close()

    def _begin(self, job: Job) -> None:
        """Write a job down, which may take a while, and let it wait for its turn.

        No lock is held while it is written: the pages go on asking for jobs.
        """
        owner = self._owner and self._owner.name
        self.history.begin(job.run_id, job.kind, job.request, owner=owner)
        if job.is_ending:  # cancelled before there was a row to write that into
            self.history.finish(job.run_id, RunStatus.CANCELLED)
        with self._guard:
            self._queue_of(job.device).put(job)

    def _queue_of(self, device: str) -> queue.Queue[Job | None]:
        if device not in self._queues:
            self._queues[device] = queue.Queue()
            name = f"memorymark-{device}"
            worker = threading.Thread(target=self._serve, args=(device,), name=name, daemon=True)
            self._workers.append(worker)
            worker.start()
        return self._queues[device]

    def _serve(self, device: str) -> None:
        while (job := self._queues[device].get()) is not None:
            with self._guard:
                if job.is_ending:
                    continue
                job.status, job.started_at = RunStatus.RUNNING, time.time()
            self._work(job)

    def _work(self, job: Job) -> None:
        try:
            self.history.set_status(job.run_id, RunStatus.RUNNING)
            record = job.work(lambda event: self._note(job, event), job.token)
        except Cancelled as stop:
            self._end(job, RunStatus.CANCELLED, record=_known_by(stop))
        except MemoryMarkError as error:
            self._end(job, RunStatus.FAILED, record=_known_by(error), error=str(error))
        except BaseException as error:  # sys.exit() of the user's code too: the next job waits
            _log.exception("Job %s failed", job.run_id)
            self._end(job, RunStatus.FAILED, error=one_sentence(error))
        else:
            self._end(job, RunStatus.DONE, record=record)

    def _note(self, job: Job, event: Event) -> None:
        if event.known is not None:  # the newest is enough: all of them would be long
            job.known = _as_json(event.known())
            event = dataclasses.replace(event, known=None)
        newer = event.kind is EventKind.STEP and job.events and job.events[-1].kind is event.kind
        if newer:  # one a second: hours of them would be all that the log says
            job.events[-1] = event
        else:
            job.events.append(event)
        self._log.add(job.run_id, len(job.events) - 1, event)

    def _end(self, job: Job, status: RunStatus, **result: Any) -> None:
        """Write the result, which may take a while, and only then say that the job has ended.

        No lock is held meanwhile: the pages go on asking how jobs stand.
        """
        error = result.get("error")
        if job.events:
            self._log.flush()
        try:
            self.history.finish(job.run_id, status, **result)
        except Exception as failure:  # whatever it is, the next job waits
            status, error = RunStatus.FAILED, f"The result could not be saved: {failure}"
            with contextlib.suppress(Exception):
                self.history.finish(job.run_id, status, error=error)
        job.finished_at, job.error = time.time(), error
        job.status = status

    def _forget_old(self) -> None:
        ended = [job.run_id for job in self._jobs.values() if not job.status.is_active]
        for run_id in ended[:-KEPT_JOBS]:
            del self._jobs[run_id]

    def _expected_seconds(self, kind: str, request: dict[str, Any]) -> float | None:
        done = self.history.find(kinds=[kind], statuses=[RunStatus.DONE], limit=20)
        alike = [run for run in done if run.model == request.get("model")]
        with contextlib.suppress(MemoryMarkError, AttributeError):  # a damaged run only costs this
            for run in alike[:3]:
                opened = self.history.open(run.run_id)
                if _key(kind, opened.request or {}) == _key(kind, request):
                    return opened.took_seconds
        return None


def _owner(folder: Path) -> Owner | None:
    """Show that this process is alive; None where the folder takes no locks."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Owner(folder)
    except OSError as error:
        _log.warning("No lock can be made in %s: %s", folder, error)
        return None


def _known_by(end: BaseException) -> dict[str, Any] | None:
    """Return the record of what was known when work ended early, as JSON."""
    return _as_json(getattr(end, "partial", None))


def _as_json(known: Record | dict[str, Any] | None) -> dict[str, Any] | None:
    return known.to_dict() if isinstance(known, Record) else known


def _key(kind: str, request: dict[str, Any]) -> str:
    return json.dumps([kind, request], sort_keys=True, default=str, allow_nan=False)
