"""What visitors of the app do with the engine: start, estimate, stop and delete.

A page only shows what a visitor may do. Whether it is done is decided here, by the guard.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from memorymark.bounds import Bounds
from memorymark.errors import MemoryMarkError, NotAllowed
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.event import CancelToken, OnEvent, ignore
from memorymark.records.request import Request, RequestKind
from memorymark.records.trial import Trial
from memorymark.service.admission import (
    NO_LIVE_PRICES,
    admit,
    check_device,
    check_model,
    check_prices,
    why_not_for_all,
)
from memorymark.service.app_history import AppHistory
from memorymark.service.estimates import Answer, Estimates
from memorymark.service.fetched_prices import Fetched, FetchedPrices
from memorymark.service.first_run import active_run, deciding, finished_run, first_request
from memorymark.service.follow_ups import FollowUp, FollowUps
from memorymark.service.found_levers import wanted_levers
from memorymark.service.guard import Guard, Visitor
from memorymark.service.job import Job, Work
from memorymark.service.jobs import JobManager
from memorymark.service.messages import NO_MEDIA
from memorymark.service.run import Run, RunStatus
from memorymark.service.trained_folders import STEPS, is_trained_here, own_folder
from memorymark.service.training_admission import (
    can_go_on,
    check_training,
    request_to_go_on,
    with_own_folder,
)
from memorymark.service.uploaded_texts import uploaded_path
from memorymark.service.worker_pool import ESTIMATES, FOLLOW_UPS, WorkerPool
from memorymark.service.worker_process import WorkerBounds, WorkerFailed
from memorymark.service.workload_cache import kept_workload
from memorymark.settings import Settings

ESTIMATE_SECONDS = 60.0
_TICK_SECONDS = 0.05
_DECISION_SECONDS = 1.0  # the run is begun by then, or something holds up the history


class AppService:
    """Starts, stops and deletes for those who may.

    Args:
        settings: The owner's settings.
        execute: Does the work of a request in this process; None has the engine do it in processes
            of its own, which can be ended and leave nothing behind.
    """

    def __init__(self, settings: Settings, execute: Callable[..., Any] | None = None) -> None:
        self.settings = settings
        self._fetched_prices = FetchedPrices()
        self.history = AppHistory(settings.history_path)
        self.jobs = JobManager(self.history, settings.locks_folder)
        self.estimates = Estimates()
        self.follow_ups = FollowUps(self.history, self._following, self._is_busy)
        self._guard = Guard(settings)
        self.workers = WorkerPool(settings)
        self._execute_with = execute
        self._first_run: str | None = None
        self._first_run_known = threading.Event()
        self._first_run_known.set()

    def begin(self) -> None:
        """Get ready for visitors, as a server does once when it starts: seconds of work.

        The default analysis is begun, or found, and processes load torch meanwhile: first for
        jobs, then for estimates, which otherwise would hold up one another.
        """
        self._first_run_known.clear()
        try:
            job = self._begin_first_run() if self.settings.first_run else None
        finally:
            self._first_run_known.set()
        if self._execute_with is None:
            self._warm_up(job)
        if self.settings.follow_ups:
            self._follow_first_run(job)

    def follow_up(self, request: Request, visitor: Visitor) -> FollowUp | None:
        """Have what follows from a result done while nothing else is to do, and say how far it is.

        Ask again until it is there. None where it is not done unless it is started: the owner or
        the visitor's rights do not allow it, or too much waits.
        """
        if not self.settings.follow_ups:
            return None
        if not self.may_start(visitor):
            return self.follow_ups.state(request)
        try:
            check_model(request.model, self.settings)
        except MemoryMarkError:
            return None
        return self.follow_ups.ask(request, visitor.session)

    def stop_follow_up(self, request: Request, visitor: Visitor) -> None:
        """Stop what is done by itself, for good; it can still be started.

        Raises:
            NotAllowed: The visitor may not.
        """
        self.check(visitor)
        self.follow_ups.stop(request)

    def live_prices(self, visitor: Visitor) -> Fetched:
        """Return prices of this moment, where the owner lets the app ask the providers.

        Raises:
            NotAllowed: The owner does not, or the visitor may not start work.
        """
        if not self.settings.live_prices:
            raise NotAllowed(NO_LIVE_PRICES)
        self.check(visitor)
        return self._fetched_prices.get()

    def start(
        self, request: Request, visitor: Visitor, media: Mapping[str, bytes] = NO_MEDIA
    ) -> Job:
        """Queue a job for a request, or return the active job for an equal one.

        Args:
            request: What is asked for.
            visitor: Who asks.
            media: What the files hold that a generation or a training names; the names tell them
                apart.

        Raises:
            NotAllowed: The visitor may not start work, or the model may not run from here.
            UsageError: The model is not one that the app takes.
        """
        self.check(visitor)
        for model in request.models:
            check_model(model, self.settings)
        check_device(request.device)
        check_prices(request, self.settings)
        check_training(request, media, self.settings)
        asked, identity = partial(admit, visitor.name), request.identity
        request = with_own_folder(request, self.settings)
        return self._submit(request, media, visitor=visitor.name, admit=asked, identity=identity)

    def go_on(self, run_id: str, visitor: Visitor) -> Job:
        """Go on with a training that ended early, from its newest checkpoint.

        Raises:
            NotAllowed: The visitor may not, or it is none that can go on.
            RunNotFound: There is no such run.
        """
        self.check(visitor)
        request = request_to_go_on(self.history.open(run_id), self.settings)
        check_model(request.model, self.settings)
        check_device(request.device)
        return self._submit(request, visitor=visitor.name, admit=partial(admit, visitor.name))

    def has_text(self, name: str) -> bool:
        """Say whether a text of this name was uploaded, and is kept."""
        path = uploaded_path(name, self.settings)
        return path is not None and path.is_file()

    def may_open(self, model: str) -> bool:
        """Say whether the app opens a model that a training wrote."""
        return model in self.settings.workloads or is_trained_here(model, self.settings)

    def steps_file(self, folder: str | None) -> Path | None:
        """Return the figures of every step of a training in a folder of the app's own."""
        own = own_folder(folder, self.settings)
        file = None if own is None else own / STEPS
        return file if file is not None and file.is_file() else None

    def can_go_on(self, run: Run) -> bool:
        """Say whether a training ended early, and has a checkpoint to go on from."""
        return can_go_on(run, self.settings)

    def estimate(
        self, request: Request, batch_size: int, visitor: Visitor, wait_seconds: float = 0.0
    ) -> Answer | None:
        """Return what one batch comes to in a simulation; None while that is worked on.

        Ask again until it is there. It is never run on a device. Who may not start work has models
        of the list estimated, at usual lengths, and nothing else.

        Args:
            request: Whose training it is.
            batch_size: The batch.
            visitor: Who asks.
            wait_seconds: How long to wait for an answer that is not known yet.
        """
        asked = _one_trial(request, batch_size)
        why_not = None if self.may_start(visitor) else why_not_for_all(asked)
        if why_not is not None:
            return Answer(error=f"{why_not} {self._how_to_be_let_in}")

        def simulate(cancel: CancelToken) -> Trial:
            check_model(request.model, self.settings)
            bounds = dataclasses.replace(self._bounds_of(asked), seconds=self._estimate_seconds)
            return Trial.from_dict(self._execute(asked, bounds, ignore, cancel, ESTIMATES))

        return self.estimates.ask(asked, simulate, visitor.name, visitor.session, wait_seconds)

    def first_run(self) -> str | None:
        """Return the run of the default analysis that was begun when the server started.

        None where there is none: the owner's settings leave it out, somebody deleted or stopped
        it, or it failed, which is no answer to begin with.
        """
        self._first_run_known.wait(_DECISION_SECONDS)
        if self._first_run is not None:
            with contextlib.suppress(MemoryMarkError):
                run = self.history.summary(self._first_run)
                if run.status.is_active or run.status is RunStatus.DONE:
                    return run.run_id
        return None

    def close(self) -> None:
        """Stop all work, and end the processes that do it."""
        self.estimates.close()
        self.follow_ups.close()
        self.jobs.close()
        self.workers.close()

    def cancel(self, run_id: str, visitor: Visitor) -> None:
        """Stop a job.

        Raises:
            NotAllowed: The visitor may not.
            RunNotFound: There is no such job here.
        """
        self.check(visitor)
        self.jobs.cancel(run_id)

    def delete(self, run_id: str, visitor: Visitor) -> None:
        """Delete a run that is not active; `undelete` brings it back for a while.

        Raises:
            NotAllowed: The visitor may not, or the run is active.
            RunNotFound: There is no such run.
            HistoryUnusable: The history cannot be written.
        """
        self.check(visitor)
        if self.history.summary(run_id).status.is_active:
            raise NotAllowed(f"The run {run_id} is active. Cancel it before deleting it.")
        self.history.delete(run_id)

    def undelete(self, run_id: str, visitor: Visitor) -> None:
        """Bring a deleted run back.

        Raises:
            NotAllowed: The visitor may not.
            RunNotFound: There is no such run any more.
            HistoryUnusable: The history cannot be written.
        """
        self.check(visitor)
        self.history.undelete(run_id)

    def check(self, visitor: Visitor) -> None:
        """Let a visitor pass who may start, stop and delete.

        Raises:
            NotAllowed: The visitor may not; the error says what is missing.
        """
        self._guard.check(visitor)

    def may_start(self, visitor: Visitor) -> bool:
        """Say whether a visitor was let pass before, for what only such a visitor sees."""
        return self._guard.knows(visitor)

    def _begin_first_run(self) -> Job | None:
        """Begin the default analysis, or take the one that the history has or soon will have."""
        request = first_request()
        with deciding(self.settings.locks_folder):
            found = finished_run(self.history, request) or active_run(self.history, request)
            job = None if found is not None else self._submit(request)
        self._first_run = found if job is None else job.run_id
        return job

    def _warm_up(self, first: Job | None) -> None:
        """Start the processes that visitors would wait for, one after another."""
        with contextlib.suppress(WorkerFailed):  # the first job says what is wrong
            if first is None:
                self.workers.warm()
            while first is not None and first.status.is_active:
                time.sleep(_TICK_SECONDS)
            self.workers.warm(ESTIMATES)

    def _follow_first_run(self, first: Job | None) -> None:
        """Have the levers of the default analysis found, though nobody looks at it yet."""
        while first is not None and first.status.is_active:
            time.sleep(_TICK_SECONDS)
        request = wanted_levers(self.history, self._first_run)
        if request is not None:
            self.follow_ups.ask(request, stays=True)

    def _is_busy(self) -> bool:
        """Whether somebody waits for anything."""
        return self.estimates.is_busy or bool(self.jobs.active())

    def _following(self, request: Request) -> Work:
        bounds = self._bounds_of(request)
        bounds = dataclasses.replace(bounds, gives_way=lambda: self.estimates.is_busy)
        return partial(self._execute, request, bounds, line=FOLLOW_UPS)

    def _submit(self, request: Request, media: Mapping[str, bytes] = NO_MEDIA, **how: Any) -> Job:
        work = partial(self._execute, request, self._bounds_of(request), media=media)
        job = self._queued(request, work, **how)
        self.follow_ups.give_way()
        return job

    def _queued(self, request: Request, work: Work, **how: Any) -> Job:
        return self.jobs.submit(
            request.kind,
            request.to_dict(),
            request.lock_name,
            work,
            **{"identity": request.identity, **how},
        )

    def _execute(
        self,
        request: Request,
        bounds: WorkerBounds,
        on_event: OnEvent,
        cancel: CancelToken,
        line: str | None = None,
        media: Mapping[str, bytes] = NO_MEDIA,
    ) -> dict[str, Any]:
        if self._execute_with is None:
            return self.workers.run(request, bounds, on_event, cancel, line, media)
        given = {"media": media} if media else {}
        record = self._execute_with(
            request,
            settings=self.settings,
            find_workload=partial(kept_workload, settings=self.settings),
            on_event=on_event,
            cancel=cancel,
            **given,
        )
        return record.to_dict()

    def _bounds_of(self, request: Request) -> WorkerBounds:
        """Bound simulations; what is measured has budgets of its own."""
        if not request.is_simulated:
            return WorkerBounds()
        bounds = Bounds().multiplied(self.settings.bounds_times or 1.0)
        return WorkerBounds(bounds.process_bytes, bounds.job_seconds)

    @property
    def _how_to_be_let_in(self) -> str:
        return (
            "Use the button in the sidebar to sign in."
            if self.settings.sign_in
            else "Enter the run key in the sidebar."
        )

    @property
    def _estimate_seconds(self) -> float:
        return ESTIMATE_SECONDS * (self.settings.bounds_times or 1.0)


def _one_trial(request: Request, batch_size: int) -> Request:
    """Return the request to simulate one batch of what another request asks for."""
    return dataclasses.replace(
        request, kind=RequestKind.ESTIMATE, batch_size=batch_size, options=AnalysisOptions()
    )
