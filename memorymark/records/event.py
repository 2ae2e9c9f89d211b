"""Events of the engine, for logs, progress bars and job records."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from memorymark.errors import Cancelled
from memorymark.records.codec import Origin, Record, same
from memorymark.records.trial import Outcome, Trial
from memorymark.units import likely_rate, mib_or_gib, rate

GPUS_DONE = "gpus-done"  # the phase of notes such as "7 of 21 GPUs done"


class EventKind(StrEnum):
    """Kinds of events."""

    PHASE = "phase"
    TRIAL_STARTED = "trial-started"
    TRIAL_FINISHED = "trial-finished"
    NOTE = "note"
    TEXT = "text"  # a piece of what a model writes, as it is made
    STEP = "step"  # how a training stands, about once a second


@dataclass(frozen=True)
class Event(Record):
    """Something that really happened in the engine.

    Attributes:
        kind: What kind of event.
        text: One line for people.
        phase: Name of the phase it belongs to: search, throughput, validation …
        batch_size: Batch size of the trial, where it is about one.
        trial: The finished trial, where it is about one.
        progress: Share of the work done, from 0 to 1, where it can be said.
        at: Seconds since the epoch.
        known: Puts together the record of what is known by now, where the work could end here; as
            JSON where another process sent it.
    """

    # Without the trial and the record: the log of a run would grow by a megabyte.
    json_keys: ClassVar[Mapping[str, Origin]] = same(
        "kind", "text", "phase", "batch_size", "progress", "at"
    )

    kind: EventKind
    text: str
    phase: str | None = None
    batch_size: int | None = None
    trial: Trial | None = None
    progress: float | None = None
    at: float = field(default_factory=time.time)
    known: Callable[[], Record | dict[str, Any]] | None = field(
        default=None, compare=False, repr=False
    )


OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Take an event and do nothing with it."""


class CancelToken:
    """A flag that one thread sets and the working thread looks at between trials."""

    def __init__(self) -> None:
        self._cancelled = False

    def cancel(self) -> None:
        """Ask the work to stop at the next point where it can."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether cancellation was requested."""
        return self._cancelled

    def check(self) -> None:
        """Raise if cancellation was requested.

        Raises:
            Cancelled: Cancellation was requested.
        """
        if self._cancelled:
            raise Cancelled("Cancelled by the user.")


def trial_line(trial: Trial) -> str:
    """Write a trial as one line for people."""
    start = f"batch {trial.batch_size}:"
    if trial.outcome is Outcome.OOM:
        return f"{start} out of memory"
    if trial.outcome is Outcome.ERROR:
        return f"{start} error: {trial.error}"
    speed = ""
    if trial.samples_per_second:
        speed = f", {rate(trial.samples_per_second)} samples/s{likely_rate(trial.speed_band)}"
    retries = ", allocator retries" if trial.thrashing else ""
    return f"{start} {mib_or_gib(trial.memory_bytes)}{speed}, ok{retries}"
