"""Sessions of one model that take turns on one device: held there, or swapped to the host.

Sessions start one after the other, read their prompt, and wait for their next turn. Under `hold`
every cache stays on the device. Under `swap` the caches that were used least recently make room:
they lie in the host's memory until their session's next turn.

How room is made under `swap`. Before a session takes its place, by arithmetic: what is taken, its
cache and the most that a pass took so far. That is an estimate, since the allocator loses what it
loses: a prompt, or a cache on its way back, that finds no room begins again when another cache was
moved away. So the first cache is moved when bytes alone find no room, or a prompt does not, and
what is lost is allowed for from then on. A token cannot begin again, for it changes its cache as it
goes. So before each one there has to be as much as it takes in the worst case, or nothing is left
to be moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from memorymark.inference.caches import Slot
from memorymark.inference.host_store import HostStore, Moved
from memorymark.inference.turns import State, Turns
from memorymark.memory.oom import is_out_of_memory
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
# Of the capacity: above it all others make room for the first pass of a kind, of which nobody knows
# what it takes.
_MUCH = 0.5


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
        """Return what the allocator lost between blocks when they took the most."""

    def taken_bytes(self) -> int:
        """Return what live tensors take, and all that lies unused between them now."""

    def spare_bytes(self, sizes: Iterable[int], beside_bytes: int) -> int:
        """Return what is enough, beside what is taken, for a pass that renews a cache.

        Args:
            sizes: Bytes of the cache's tensors.
            beside_bytes: What such passes took beside what was there before.
        """

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
        self._ends = plan.ends_of_turns(config.output_tokens - 1)
        self._resident: dict[int, _Session] = {}  # the newest last
        self._most_bytes: int | None = None  # what may be allocated; None as long as all may
        self._group: set[int] = set()  # numbers of those whose turns overlap now
        self._beside: dict[Act, int] = {}  # the most that each act took beside what was there
        self._most_rise = 0  # of what is taken and lost by a token, until a cache was moved
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
                self._group = {session.number for session in group}
                for session in group:
                    self._take_place(session)
                for session in group:
                    self._generate(session)

    def _take_place(self, session: _Session) -> None:
        """Bring a session to the point from which it generates."""
        self.current = session.number
        self._make_room(session.away_bytes, max(self._beside.values(), default=0))
        if session.away:
            self._until_there_is_room(lambda: self._swap_in(session))
        self._resident.pop(session.number, None)
        self._resident[session.number] = session
        if session.state is None:
            self._until_there_is_room(lambda: self._begin(session))
        elif session.state.is_paused:
            self._spare_room(Act.RESUME, session)
            self._watched(Act.RESUME, session, lambda: self._turns.resume(session.state))

    def _begin(self, session: _Session) -> None:
        begun: list[State] = []
        self._watched(Act.PREFILL, session, lambda: begun.append(self._turns.begin()))
        session.state = begun[0]

    def _generate(self, session: _Session) -> None:
        """Generate a turn's share of the tokens; the first of all comes with the prompt."""
        assert session.state is not None
        self.current = session.number
        for _ in range(self._tokens(session)):
            self._spare_room(Act.DECODE, session)
            self._decode(session)
        session.turns += 1
        self.state_bytes = session.state.held_bytes()

    def _decode(self, session: _Session) -> None:
        place, may_move = self._place, self._config.policy is Policy.SWAP
        rises = may_move and place.capacity_bytes is not None and not self.swaps
        before = place.taken_bytes() if rises else 0
        self._watched(Act.DECODE, session, lambda: self._turns.decode(session.state))
        if rises:
            self._most_rise = max(self._most_rise, place.taken_bytes() - before)

    def _tokens(self, session: _Session) -> int:
        """Return how many tokens a turn decodes: all but the prompt's own."""
        return self._ends[session.turns] - (0, *self._ends)[session.turns]

    def _make_room(self, cache_bytes: int, beside_bytes: int) -> None:
        """Move caches away until there is room for a session, or none is left to be moved."""
        place = self._place
        if place.capacity_bytes is None:
            return
        usable = place.capacity_bytes - cache_bytes - beside_bytes
        most = math.inf if self._most_bytes is None else self._most_bytes

        def is_enough() -> bool:
            allocated = place.allocated_bytes()
            if not self.swaps:
                return allocated <= usable
            lost = place.lost_bytes() + math.ceil(_MARGIN * place.capacity_bytes)
            return allocated + lost <= usable and allocated + cache_bytes <= most

        self._move_away(is_enough)

    def _spare_room(self, act: Act, session: _Session) -> None:
        """Move caches away until a pass that cannot begin again is sure to find room.

        Until the first one was moved blocks lie as they were made: it is enough for a token that
        what those before it took is free. Where more had to be moved, no more than is left comes to
        lie there again.
        """
        place, count = self._place, len(self.swaps)
        if place.capacity_bytes is None or self._movable() is None:
            return
        if not count and act is Act.DECODE and self._is_free_as_before(place.capacity_bytes):
            return
        usable = place.capacity_bytes - self._spare_bytes(act, session, place.capacity_bytes)
        self._move_away(lambda: place.taken_bytes() <= usable)
        if len(self.swaps) > count and act is Act.DECODE:
            self._most_bytes = place.allocated_bytes()

    def _is_free_as_before(self, capacity_bytes: int) -> bool:
        """Return whether a token finds free what the most that one took so far was."""
        place, beside = self._place, self._beside.get(Act.DECODE)
        if beside is None:
            return False
        spare = max(place.spare_bytes((), beside), self._most_rise + beside)
        return place.taken_bytes() + spare <= capacity_bytes

    def _spare_bytes(self, act: Act, session: _Session, capacity_bytes: int) -> int:
        """Return what is sure to be enough; all, or nothing, where no such pass is known."""
        assert session.state is not None
        beside = self._beside.get(act)
        if beside is None:
            is_much = self._place.taken_bytes() > capacity_bytes * _MUCH
            return capacity_bytes if is_much else 0
        sizes = [slot.tensor.nbytes for slot in session.state.slots()]
        return self._place.spare_bytes(sizes, beside)

    def _move_away(self, is_enough: Callable[[], bool]) -> None:
        """Move away what was used least recently, until it is enough or all else is away."""
        while (movable := self._movable()) and not is_enough():
            self._swap_out(movable)

    def _movable(self) -> _Session | None:
        """Return whose cache was used least recently; None where none may be moved away."""
        if self._config.policy is not Policy.SWAP:
            return None
        others = (each for number, each in self._resident.items() if number not in self._group)
        return next(others, None)

    def _until_there_is_room(self, act: Callable[[], None]) -> None:
        """Do what changes nothing where it finds no room, with ever fewer caches beside it."""
        while not self._found_room(act):
            movable = self._movable()
            assert movable is not None
            self._swap_out(movable)

    def _found_room(self, act: Callable[[], None]) -> bool:
        """Do it; say where it found none. What it had made by then is free after the return."""
        try:
            act()
        except Exception as error:
            if self._movable() is None or not is_out_of_memory(error):
                raise
            return False
        return True

    def _swap_out(self, session: _Session) -> None:
        held = session.state.slots()

        def move() -> Moved:
            moved = self._place.store.put([slot.tensor for slot in held])
            for slot in held:
                slot.put(None)
            return moved

        moved = self._swap(Act.SWAP_OUT, session, move)
        session.away = list(zip(held, moved.items, strict=True))
        session.away_bytes = moved.moved_bytes
        del self._resident[session.number]
        self.first_swap_session = self.first_swap_session or self.current

    def _swap_in(self, session: _Session) -> None:
        store = self._place.store
        items, held_bytes = [item for _, item in session.away], store.held_bytes
        try:
            moved = self._swap(Act.SWAP_IN, session, lambda: store.get(items))
        except Exception:
            store.held_bytes = held_bytes  # it stays where it is
            raise
        for (slot, _), tensor in zip(session.away, moved.items, strict=True):
            slot.put(tensor)
        session.away, session.away_bytes = [], 0

    def _swap(self, act: Act, session: _Session, move: Callable[[], Moved]) -> Moved:
        found: list[Moved] = []
        event = self._do(act, session, lambda: found.append(move()))
        (moved,) = found
        seconds = moved.seconds or event.seconds
        self.swaps.append(Swap(session.number, act, moved.moved_bytes, seconds))
        return moved

    def _watched(self, act: Act, session: _Session, work: Callable[[], None]) -> None:
        """Do an act, and remember the most that one has taken beside what was held before."""
        before = self._place.allocated_bytes()
        event = self._do(act, session, work)
        self._beside[act] = max(self._beside.get(act, 0), event.peak_bytes - before)

    def _do(self, act: Act, session: _Session, work: Callable[[], None]) -> SessionEvent:
        reading = self._place.run(act, work)
        event = SessionEvent(
            act=act, session=session.number, turn=session.turns + 1, **vars(reading)
        )
        self.events.append(event)
        self._on_event(event)
        return event
