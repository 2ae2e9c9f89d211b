"""Many inference sessions on one device, run or simulated, and what it came to. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from memorymark.records.codec import Record
from memorymark.records.option import check_options, option
from memorymark.records.serving import MAX_SESSIONS


class Act(StrEnum):
    """What a session does."""

    PREFILL = "prefill"
    RESUME = "resume"
    DECODE = "decode"
    SWAP_OUT = "swap-out"
    SWAP_IN = "swap-in"


class Verdict(StrEnum):
    """Whether a run shows what it was meant to show."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_PROVEN = "NOT PROVEN"


@dataclass(frozen=True)
class SessionPlan(Record):
    """How many sessions take turns, and how.

    Raises:
        InvalidValue: A number is out of range.
    """

    options_panel: ClassVar[str] = "Session options"

    sessions: int = option(50, "Sessions", "Sessions that take turns.", largest=MAX_SESSIONS)
    active: int = option(
        1, "Active sessions", "Sessions whose turns overlap: their caches are on the device.",
        largest=MAX_SESSIONS,
    )  # fmt: skip
    turns: int = option(2, "Turns", "Turns that each session takes.", largest=1_000)
    pause_layer: int | None = option(
        None, "Pause layer", "Layer before which the first turn pauses; by default it does not.",
        largest=100_000,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class SessionEvent:
    """Something that a session did, and the device's memory after it.

    Attributes:
        act: What it did.
        session: Number of the session, from 1.
        turn: Number of its turn, from 1.
        at_seconds: When it was done, from the beginning; None where that is not known.
        seconds: How long it took.
        allocated_bytes: Bytes of live tensors on the device.
        peak_bytes: The most of them since the event before.
        reserved_bytes: What the caching allocator holds; None where there is none.
        process_bytes: What NVML shows for the process; None where it does not.
    """

    act: Act
    session: int
    turn: int
    at_seconds: float | None
    seconds: float | None
    allocated_bytes: int
    peak_bytes: int
    reserved_bytes: int | None = None
    process_bytes: int | None = None


@dataclass(frozen=True)
class Swap:
    """A cache's way over the link between host and device.

    Attributes:
        session: Number of the session, from 1.
        act: swap-out or swap-in.
        bytes: Bytes that were moved.
        seconds: How long that took; None where it is not known.
    """

    session: int
    act: Act
    bytes: int
    seconds: float | None

    @property
    def bytes_per_second(self) -> float | None:
        """The rate; None where it is not known."""
        return self.bytes / self.seconds if self.seconds else None
