"""The turns of a run of sessions, in order: what each left in memory, and what was moved for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from memorymark.records.session_run import Act, SessionEvent

MOVES = (Act.SWAP_OUT, Act.SWAP_IN)


@dataclass
class Turn:
    """One turn of one session.

    Attributes:
        number: Its place in the order in which turns began, from 1.
        session: Number of the session, from 1.
        turn: Number of its turn, from 1.
        work: What the session did, in order.
        moves: The caches that were moved for it, in order.
    """

    number: int
    session: int
    turn: int
    work: list[SessionEvent] = field(default_factory=list)
    moves: list[SessionEvent] = field(default_factory=list)

    @property
    def last(self) -> SessionEvent:
        """What the session did last."""
        return self.work[-1]

    @property
    def peak_bytes(self) -> int:
        """The most bytes of live tensors while it lasted."""
        return max(event.peak_bytes for event in (*self.work, *self.moves))

    @property
    def seconds(self) -> float | None:
        """How long its work and its moves took; None where that is not known."""
        taken = [event.seconds for event in (*self.moves, *self.work)]
        return None if None in taken else sum(filter(None, taken))


def turns_in_order(events: Iterable[SessionEvent]) -> list[Turn]:
    """Return the turns of a timeline; turns that overlap stand in the order of their beginnings.

    A cache is moved for the turn that goes on after it.
    """
    found: dict[tuple[int, int], Turn] = {}
    waiting: list[SessionEvent] = []
    for event in events:
        if event.act in MOVES:
            waiting.append(event)
            continue
        key = event.session, event.turn
        turn = found.setdefault(key, Turn(len(found) + 1, *key))
        turn.work.append(event)
        turn.moves += waiting
        waiting = []
    turns = list(found.values())
    if turns:
        turns[-1].moves += waiting  # of a run that ended before the next turn
    return turns


def plateau_bytes(turns: Sequence[Turn]) -> int | None:
    """Return the most bytes that turns leave on the device once caches are moved; None: never."""
    first = next((at for at, turn in enumerate(turns) if turn.moves), None)
    if first is None:
        return None
    return max(turn.last.allocated_bytes for turn in turns[first:])


def thinned(turns: Sequence[Turn], most: int) -> list[Turn]:
    """Leave out some of many turns, evenly; the first, the first with a move and the last stay."""
    each = -(-len(turns) // most) or 1
    first = next((turn.number for turn in turns if turn.moves), 0)
    stay = {1, first, len(turns)}
    return [turn for turn in turns if turn.number % each == 0 or turn.number in stay]
