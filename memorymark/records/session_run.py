"""Many inference sessions on one device, run or simulated, and what it came to. Data only."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from memorymark.errors import InvalidValue
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.codec import Record, same
from memorymark.records.option import check_options, option
from memorymark.records.serving_config import MAX_SESSIONS, ServingConfig
from memorymark.records.trial import Source, Target

_TURNS_WITH_A_PAUSE = 2


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
        None, "Pause layer",
        "Layer, from 0, before which the first turn pauses; by default it does not.",
        largest=100_000, from_zero=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_options(self)
        if self.pause_layer is not None and self.turns < _TURNS_WITH_A_PAUSE:
            accepted = "2 or more with a pause layer: the first turn ends at the pause"
            raise InvalidValue("turns", self.turns, accepted)

    def ends_of_turns(self, tokens: int) -> tuple[int, ...]:
        """Return how many decoded tokens a session has at the end of each turn, dealt out evenly.

        With a pause the first turn ends inside the model, before any token.

        Example:
            >>> SessionPlan(turns=2).ends_of_turns(15)
            (7, 15)
            >>> SessionPlan(turns=3, pause_layer=1).ends_of_turns(15)
            (0, 7, 15)
        """
        paused = self.pause_layer is not None
        turns = self.turns - paused
        ends = tuple(tokens * turn // turns for turn in range(1, turns + 1))
        return (0, *ends) if paused else ends


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a piece of work came to.

    Attributes:
        at_seconds: When it was done, from the beginning; None where that is not known.
        seconds: How long it took.
        allocated_bytes: Bytes of live tensors on the device after it.
        peak_bytes: The most of them while it ran.
        reserved_bytes: What the caching allocator holds; None where there is none.
        process_bytes: What NVML shows for the process; None where it does not.
    """

    at_seconds: float | None = None
    seconds: float | None = None
    allocated_bytes: int
    peak_bytes: int
    reserved_bytes: int | None = None
    process_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class SessionEvent(Reading):
    """Something that a session did, and what it came to.

    Attributes:
        act: What it did.
        session: Number of the session, from 1.
        turn: Number of its turn, from 1.
    """

    act: Act
    session: int
    turn: int


OnSessionEvent = Callable[[SessionEvent], None]


def unheard(event: SessionEvent) -> None:
    """Take an event of a session and do nothing with it."""


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


@dataclass(frozen=True)
class ContextRoom:
    """What sessions of one context need, and how many there is room for by bytes alone.

    Attributes:
        context_tokens: Tokens of a session at its end.
        cache_bytes: Bytes of one session's state at its end.
        beside_bytes: The most that a pass takes beside weights and caches.
        sessions: How many there is room for; None without a limit, or without a cache.
    """

    context_tokens: int
    cache_bytes: int
    beside_bytes: int
    sessions: int | None = None


@dataclass(frozen=True)
class SessionRun(Record):
    """Sessions that took turns on one target, and what it came to.

    Attributes:
        model: The workload's name.
        config: How the model generated.
        plan: How many sessions were asked for, and how they took turns.
        target: What they took turns on.
        sessions_completed: Sessions that took all of their turns.
        sessions_served: Sessions that took a turn.
        failed_session: Session at which the run ended; None where it went to its end.
        failed_on_host: Whether it was the host's memory that ran out there, not the device's.
        first_swap_session: Session for which the first cache was moved away; None where none was.
        weights_bytes: Bytes of the model.
        cache_bytes_per_session: Bytes of one session's state at its end; None where none got
            there.
        beside_bytes: The most that a pass took beside weights and caches.
        capacity_bytes: What could be used of the device; None for no limit.
        host_bytes: What could be used of the host; None for no limit.
        peak_allocated_bytes: Most bytes of live tensors; None where nothing was run.
        peak_reserved_bytes: Most bytes that the caching allocator held; None where there is none.
        sessions_held: How many sessions the device holds at once, all caches on it, as a run of
            them shows; None where none was looked for, or more were asked for than it took.
        sessions_held_by_default: The same by PyTorch's allocator as it is by default; None where
            it ran so anyway, or nothing shows it.
        rooms: What sessions of other contexts need, the shortest first.
        timeline: What was done, in order, with the memory after it.
        swaps: Each cache's way over the link between device and host.
        seconds_factor: By how much the seconds may be off to either side; None where they were
            measured.
        price_per_hour: Dollars; None where it is not known.
        verdict: Whether it shows what it was meant to show.
        reason: Why, in a sentence.
        assumptions: What was answered or allowed for without knowing, one sentence each.
        findings: What to tell before the figures, one sentence each.
        error: The sentence of what ended it early.
        elapsed_seconds: Seconds that all of it took.
        software: Versions of what ran.
        created_at: When it began, in ISO 8601, UTC.
    """

    json_keys: ClassVar = {
        "model": "model",
        "config": "config",
        "plan": "plan",
        "target": "target",
        "device": "target.name",
        "source": "target.source",
        "policy": "config.policy",
        "sessions_requested": "plan.sessions",
        **same(
            "sessions_completed", "sessions_served", "sessions_held", "sessions_recommended",
            "sessions_held_by_default", "sessions_by_bytes", "failed_session", "failed_on_host",
            "first_swap_session", "weights_bytes", "cache_bytes_per_session", "beside_bytes",
            "demand_bytes", "capacity_bytes", "host_bytes", "peak_allocated_bytes",
            "peak_reserved_bytes", "rooms", "timeline", "swaps", "first_token_seconds",
            "first_token_swapped_seconds", "next_token_seconds", "next_token_swapped_seconds",
            "seconds_factor", "tokens_per_second", "price_per_hour", "cost_per_million_tokens",
            "verdict", "reason", "assumptions", "findings", "error", "elapsed_seconds",
            "software", "created_at",
        ),
    }  # fmt: skip

    model: str
    config: ServingConfig
    plan: SessionPlan
    target: Target
    sessions_completed: int
    sessions_served: int
    weights_bytes: int
    beside_bytes: int
    peak_allocated_bytes: int | None
    verdict: Verdict = Verdict.NOT_PROVEN
    reason: str = ""
    sessions_held: int | None = None
    sessions_held_by_default: int | None = None
    failed_session: int | None = None
    failed_on_host: bool = False
    first_swap_session: int | None = None
    cache_bytes_per_session: int | None = None
    capacity_bytes: int | None = None
    host_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    rooms: tuple[ContextRoom, ...] = ()
    timeline: tuple[SessionEvent, ...] = ()
    swaps: tuple[Swap, ...] = ()
    seconds_factor: float | None = None
    price_per_hour: float | None = None
    assumptions: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    error: str | None = None
    elapsed_seconds: float | None = None
    software: dict[str, str] = field(default_factory=dict)
    created_at: str = ""

    @property
    def source(self) -> Source:
        """Measured or simulated."""
        return self.target.source

    @property
    def demand_bytes(self) -> int | None:
        """What all sessions need at once, with the weights and a pass beside them."""
        if self.cache_bytes_per_session is None:
            return None
        caches = self.cache_bytes_per_session * self.plan.sessions
        return self.weights_bytes + self.beside_bytes + caches

    @property
    def sessions_by_bytes(self) -> int | None:
        """How many sessions there is room for by bytes alone, all caches on the device."""
        return sessions_by_bytes(
            self.capacity_bytes, self.weights_bytes, self.beside_bytes, self.cache_bytes_per_session
        )

    @property
    def sessions_recommended(self) -> int | None:
        """How many are held with 5 % of the capacity kept free; None where it is not known.

        What the allocator loses between its blocks is taken to be as much as at the most that are
        held.
        """
        room, held = self.sessions_by_bytes, self.sessions_held
        if self.capacity_bytes is None or room is None or held is None:
            return None
        usable = AnalysisOptions().memory_limit(self.capacity_bytes)
        cautious = sessions_by_bytes(
            usable, self.weights_bytes, self.beside_bytes, self.cache_bytes_per_session
        )
        return max((cautious or 0) - max(room - held, 0), 0)

    @property
    def first_token_seconds(self) -> float | None:
        """Median seconds of a prompt, where no cache was moved before it."""
        return _median(each for each, moved in self._first_tokens() if not moved)

    @property
    def first_token_swapped_seconds(self) -> float | None:
        """Median seconds of a prompt and of moving caches away before it."""
        return _median(each for each, moved in self._first_tokens() if moved)

    @property
    def next_token_seconds(self) -> float | None:
        """Median seconds of a later token, where no cache was moved before it."""
        return _median(each for each, moved in self._tokens(Act.DECODE) if not moved)

    @property
    def next_token_swapped_seconds(self) -> float | None:
        """Median seconds of a later token and of moving caches before it."""
        return _median(each for each, moved in self._tokens(Act.DECODE) if moved)

    @property
    def tokens_per_second(self) -> float | None:
        """New tokens of all sessions in a second of the whole run, prompts and swaps included.

        None where it ended early: of turns that were not taken, nobody knows the seconds.
        """
        seconds = [event.seconds for event in self.timeline]
        if self.sessions_completed < self.plan.sessions or not seconds or None in seconds:
            return None
        # The first token comes at the end of the prompt.
        paused = self.plan.pause_layer is not None
        acts = (Act.RESUME, Act.DECODE) if paused else (Act.PREFILL, Act.DECODE)
        made = sum(event.act in acts for event in self.timeline) * self.config.batch_size
        total = sum(filter(None, seconds))
        return made / total if total and made else None

    @property
    def cost_per_million_tokens(self) -> float | None:
        """Dollars for a million new tokens at the rate of this run."""
        if self.price_per_hour is None or not self.tokens_per_second:
            return None
        return self.price_per_hour / 3600 / self.tokens_per_second * 1e6

    def band(self, value: float | None) -> tuple[float, float] | None:
        """Return between what a figure of its seconds is likely to lie; None where measured."""
        if value is None or self.seconds_factor is None:
            return None
        return value / self.seconds_factor, value * self.seconds_factor

    def _first_tokens(self) -> list[tuple[float, bool]]:
        """Return each prompt's seconds to its first token, and whether caches moved before."""
        first = self._tokens(Act.PREFILL)
        if self.plan.pause_layer is None:
            return first
        return [
            (begun + ended, moved)
            for (begun, _), (ended, moved) in zip(first, self._tokens(Act.RESUME), strict=False)
        ]

    def _tokens(self, act: Act) -> list[tuple[float, bool]]:
        """Return the seconds of acts of a kind and of moves before them, and whether any were."""
        found, waited, moved = [], 0.0, False
        for event in self.timeline:
            if event.act in (Act.SWAP_OUT, Act.SWAP_IN):
                waited, moved = waited + (event.seconds or 0.0), True
                continue
            if event.act is act and event.seconds is not None:
                found.append((waited + event.seconds, moved))
            waited, moved = 0.0, False
        return found


def sessions_by_bytes(
    capacity_bytes: int | None, weights_bytes: int, beside_bytes: int, cache_bytes: int | None
) -> int | None:
    """Return how many sessions there is room for by bytes alone; None where that has no answer."""
    if capacity_bytes is None or not cache_bytes:
        return None
    return max((capacity_bytes - weights_bytes - beside_bytes) // cache_bytes, 0)


def _median(values: Iterable[float]) -> float | None:
    listed = list(values)
    return statistics.median(listed) if listed else None
