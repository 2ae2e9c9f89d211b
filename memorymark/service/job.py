"""One job: a request on its way to a result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from memorymark.records.event import CancelToken, Event, EventKind, OnEvent
from memorymark.service.run import RunStatus

Work = Callable[[OnEvent, CancelToken], dict[str, Any]]

_LEAST_SHARE = 0.05  # of the work done, before what is left is worked out from it
_LEAST_STEPS = 0.01  # of a training, whose steps take as long as one another


@dataclass
class Job:
    """A request on its way to a result. Other threads read it; only its worker changes it.

    Attributes:
        run_id: Id of the run that it makes.
        kind: analysis, backward, compile or comparison.
        request: What was asked for, as JSON.
        device: Name of the lock of the device it runs on.
        work: What does the work.
        key: Equal for equal requests.
        created_at: Seconds since the epoch.
        status: Where it stands.
        events: What the engine said so far, in order.
        started_at: Seconds since the epoch; None while it waits.
        finished_at: Seconds since the epoch; None while it is active.
        error: The sentence of the error, where it failed.
        visitor: Who asked for it, where that is known.
        expected_seconds: How long an earlier run like it took, where there is one.
        token: Stops the work.
        is_ending: Whether it was cancelled before it began.
        known: The record of what is known by now, as JSON, where the engine says it.
    """

    run_id: str
    kind: str
    request: dict[str, Any]
    device: str
    work: Work
    key: str
    visitor: str | None = None
    created_at: float = field(default_factory=time.time)
    status: RunStatus = RunStatus.QUEUED
    events: list[Event] = field(default_factory=list)
    started_at: float | None = None
    finished_at: float | None = None
    error: str | None = None
    expected_seconds: float | None = None
    token: CancelToken = field(default_factory=CancelToken)
    is_ending: bool = False
    known: dict[str, Any] | None = None

    @property
    def share(self) -> float | None:
        """Share of the work done as the engine last said it, from 0 to 1."""
        said = (event.progress for event in reversed(self.events))
        return next((share for share in said if share is not None), None)

    @property
    def elapsed_seconds(self) -> float:
        """Seconds of work so far, waiting not counted."""
        if self.started_at is None:
            return 0.0
        return (self.finished_at or time.time()) - self.started_at

    @property
    def left_seconds(self) -> float | None:
        """Estimate of the seconds left, from the share done or from earlier runs."""
        if not self.status.is_active:
            return 0.0
        share = self.share
        is_step = bool(self.events) and self.events[-1].kind is EventKind.STEP
        least = _LEAST_STEPS if is_step else _LEAST_SHARE
        if share is not None and share >= least and self.started_at is not None:
            return self.elapsed_seconds * (1 - share) / share
        if self.expected_seconds is None:
            return None
        return max(self.expected_seconds - self.elapsed_seconds, 0.0)
