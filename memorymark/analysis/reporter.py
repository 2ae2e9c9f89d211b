"""What an analysis tells while it works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memorymark.records.analysis import Analysis
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent, trial_line
from memorymark.records.trial import Trial

_EXPECTED_TRIALS = 8


class Reporter:
    """Tells what happens, and stops where somebody has cancelled.

    Args:
        on_event: Called with each event.
        cancel: Stops the work.
        expected: How many trials the work is expected to take.
    """

    def __init__(
        self, on_event: OnEvent, cancel: CancelToken, expected: int = _EXPECTED_TRIALS
    ) -> None:
        self.on_event, self.cancel, self._expected = on_event, cancel, expected
        self.phase: str | None = None
        self.trials = 0

    def enter(self, phase: str, text: str) -> None:
        """Say that a phase begins."""
        self.phase = phase
        self.tell(EventKind.PHASE, text, progress=self.progress)

    def starting(self, batch_size: int) -> None:
        """Say that a trial begins.

        Raises:
            Cancelled: Somebody has cancelled.
        """
        self.cancel.check()
        self.tell(EventKind.TRIAL_STARTED, f"batch {batch_size}: running", batch_size=batch_size)

    def finished(self, trial: Trial, known: Callable[[], Analysis] | None = None) -> None:
        """Say how a trial ended, with what is known by then."""
        self.trials += 1
        self.tell(
            EventKind.TRIAL_FINISHED,
            trial_line(trial),
            batch_size=trial.batch_size,
            trial=trial,
            progress=self.progress,
            known=known,
        )

    def tell(self, kind: EventKind, text: str, **about: Any) -> None:
        """Send an event."""
        self.on_event(Event(kind, text, phase=self.phase, **about))

    @property
    def progress(self) -> float:
        """Share of the trials that the work usually takes; 1 only when all is done."""
        return self.trials / max(self._expected, self.trials + 1)
