"""Sessions of one model that take turns on one device: held there, or swapped to the host.

Sessions start one after the other, read their prompt, and wait for their next turn. Under `hold`
every cache stays on the device. Under `swap` the caches that were used least recently make room:
they lie in the host's memory until their session's next turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from memorymark.inference.caches import Slot
from memorymark.inference.host_store import HostStore, Moved
from memorymark.inference.turns import State, Turns
from memorymark.records.serving_config import Policy, ServingConfig
from memorymark.records.session_run import (
    Act,
    OnSessionEvent,
    Reading,
    SessionEvent,
    SessionPlan,
    Swap,
    unheard,
)

# Kept free under `swap`, as a share of the capacity: what the allocator loses between blocks.
_MARGIN = 0.02


class Place(Protocol):
    """The device, as sessions see it.

    Attributes:
        store: The host's memory beside it.
        capacity_bytes: What may be used of the device; None for no limit.
    """

    store: HostStore
    capacity_bytes: int | None

    def allocated_bytes(self) -> int:
        """Return the bytes of live tensors."""

    def lost_bytes(self) -> int:
        """Return what the allocator holds between blocks and can give to nobody."""

    def run(self, act: Act, work: Callable[[], None]) -> Reading:
        """Do some work, and return the seconds and the memory of it."""


@dataclass
class _Session:
    """One session: what it holds, where, and how far it has come."""

    number: int
    state: State | None = None
    turns: int = 0
    away: list[tuple[Slot, Any]] = field(default_factory=list)
    away_bytes: int = 0


class Sessions:
    """Runs sessions in turn.

    Args:
        turns: Does what sessions do.
        config: How the model generates.
        place: The device.
        plan: How many sessions, and how they take turns.
        on_event: Called with each event as it is done.

    Attributes:
        events: What was done so far.
        swaps: Which caches were moved.
        state_bytes: Bytes that a session held after its newest turn; None before the first.
        current: Number of the session whose turn it is; None before the first.
        first_swap_session: Number of the session for which a cache was moved away first.
    """

    def __init__(
        self,
        turns: Turns,
        config: ServingConfig,
        place: Place,
        plan: SessionPlan,
        on_event: OnSessionEvent = unheard,
    ) -> None:
        self._turns, self._config, self._place, self._plan = turns, config, place, plan
        self._on_event = on_event
        self._sessions = [_Session(number) for number in range(1, plan.sessions + 1)]
        self._resident: dict[int, _Session] = {}  # the newest last
        self._beside = 0
        self.events: list[SessionEvent] = []
        self.swaps: list[Swap] = []
        self.state_bytes: int | None = None
        self.current: int | None = None
        self.first_swap_session: int | None = None

    @property
    def completed(self) -> int:
        """How many sessions have taken all of their turns."""
        return sum(session.turns == self._plan.turns for session in self._sessions)

    @property
    def served(self) -> int:
        """How many sessions have taken a turn."""
        return sum(session.turns > 0 for session in self._sessions)

    def run(self) -> None:
        """Let every session take all of its turns.

        Raises:
            OutOfMemory: There is no room on the device, or on the host.
        """
        for _ in range(self._plan.turns):
            for first in range(0, len(self._sessions), self._plan.active):
                group = self._sessions[first : first + self._plan.active]
                numbers = {session.number for session in group}
                for session in group:
                    self._take_place(session, numbers)
                for session in group:
                    self._generate(session)

    def _take_place(self, session: _Session, group: set[int]) -> None:
        """Bring a session to the point from which it generates."""
        self.current = session.number
        self._make_room(session.away_bytes + self._beside, group)
        if session.away:
            self._swap_in(session)
        self._resident.pop(session.number, None)
        self._resident[session.number] = session
        if session.state is None:
            self._begin(session)
        elif session.state.is_paused:
            self._watched(Act.RESUME, session, lambda: self._turns.resume(session.state))

    def _begin(self, session: _Session) -> None:
        def begin() -> None:
            session.state = self._turns.begin()

        self._watched(Act.PREFILL, session, begin)

    def _generate(self, session: _Session) -> None:
        """Generate a turn's share of the tokens; the first of all comes with the prompt."""
        assert session.state is not None
        self.current = session.number
        for _ in range(self._tokens(session)):
            self._watched(Act.DECODE, session, lambda: self._turns.decode(session.state))
        session.turns += 1
        self.state_bytes = session.state.held_bytes()

    def _tokens(self, session: _Session) -> int:
        """Return how many tokens a turn decodes: all but the prompt's own, dealt out evenly."""
        turns, turn = self._plan.turns, session.turns
        if self._plan.pause_layer is not None:  # the first turn ends inside the model
            turns, turn = turns - 1, turn - 1
        if turn < 0:
            return 0
        tokens = self._config.output_tokens - 1
        return tokens * (turn + 1) // turns - tokens * turn // turns

    def _make_room(self, wanted_bytes: int, group: set[int]) -> None:
        """Move away what was used least recently, until there is room or all else is away."""
        capacity = self._place.capacity_bytes
        if self._config.policy is not Policy.SWAP or capacity is None:
            return
        usable = int(capacity * (1 - _MARGIN))
        for number in [each for each in self._resident if each not in group]:
            held = self._place.allocated_bytes() + self._place.lost_bytes()
            if held + wanted_bytes <= usable:
                return
            self._swap_out(self._resident.pop(number))

    def _swap_out(self, session: _Session) -> None:
        held = session.state.slots()
        self.first_swap_session = self.first_swap_session or self.current

        def move() -> Moved:
            moved = self._place.store.put([slot.tensor for slot in held])
            for slot in held:
                slot.put(None)
            session.away = list(zip(held, moved.items, strict=True))
            session.away_bytes = moved.moved_bytes
            return moved

        self._swap(Act.SWAP_OUT, session, move)

    def _swap_in(self, session: _Session) -> None:
        def move() -> Moved:
            moved = self._place.store.get([item for _, item in session.away])
            for (slot, _), tensor in zip(session.away, moved.items, strict=True):
                slot.put(tensor)
            session.away, session.away_bytes = [], 0
            return moved

        self._swap(Act.SWAP_IN, session, move)

    def _swap(self, act: Act, session: _Session, move: Callable[[], Moved]) -> None:
        found: list[tuple[int, float | None]] = []

        def work() -> None:
            moved = move()
            found.append((moved.moved_bytes, moved.seconds))

        event = self._do(act, session, work)
        moved_bytes, seconds = found[0]
        self.swaps.append(Swap(session.number, act, moved_bytes, seconds or event.seconds))

    def _watched(self, act: Act, session: _Session, work: Callable[[], None]) -> None:
        """Do an act, and remember the most that one has taken beside what was held before."""
        before = self._place.allocated_bytes()
        event = self._do(act, session, work)
        self._beside = max(self._beside, event.peak_bytes - before)

    def _do(self, act: Act, session: _Session, work: Callable[[], None]) -> SessionEvent:
        reading = self._place.run(act, work)
        event = SessionEvent(
            act=act, session=session.number, turn=session.turns + 1, **vars(reading)
        )
        self.events.append(event)
        self._on_event(event)
        return event
