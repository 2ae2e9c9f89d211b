"""What any number of sessions of any context needs, from a few contexts that are known."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from memorymark.records.session_run import ContextRoom, SessionRun, sessions_by_bytes


@dataclass(frozen=True)
class Demand:
    """What sessions need at once.

    Attributes:
        sessions: How many.
        context_tokens: Tokens of each at its end.
        weights_bytes: Bytes of the model.
        beside_bytes: The most that a pass takes beside weights and caches.
        cache_bytes: Bytes of one session's cache.
        capacity_bytes: What can be used; None for no limit.
    """

    sessions: int
    context_tokens: int
    weights_bytes: int
    beside_bytes: int
    cache_bytes: int
    capacity_bytes: int | None

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.beside_bytes + self.sessions * self.cache_bytes

    @property
    def room(self) -> int | None:
        """How many sessions there is room for by bytes alone; None without a limit."""
        return sessions_by_bytes(
            self.capacity_bytes, self.weights_bytes, self.beside_bytes, self.cache_bytes
        )

    @property
    def fitting_bytes(self) -> int:
        """Bytes of the caches that there is room for."""
        fitting = self.sessions if self.room is None else min(self.sessions, self.room)
        return fitting * self.cache_bytes

    @property
    def missing_bytes(self) -> int:
        """Bytes of the caches that there is no room for."""
        return self.sessions * self.cache_bytes - self.fitting_bytes


def demand_of(run: SessionRun, sessions: int, context_tokens: int) -> Demand | None:
    """Return what sessions of a context need; None where too little is known.

    Between two contexts that are known, caches grow evenly, and what stands beside them along the
    parabola that meets the next one too, as scores do of which each token has one for every other;
    beyond the longest, both as between the last two.

    Args:
        run: A run, with contexts whose needs are known.
        sessions: How many.
        context_tokens: Tokens of each at its end.
    """
    rooms = _known(run)
    if not rooms:
        return None
    return Demand(
        sessions,
        context_tokens,
        run.weights_bytes,
        _bent(context_tokens, [(room.context_tokens, room.beside_bytes) for room in rooms]),
        _at(context_tokens, [(room.context_tokens, room.cache_bytes) for room in rooms]),
        run.capacity_bytes,
    )


def _known(run: SessionRun) -> Sequence[ContextRoom]:
    if run.rooms or run.cache_bytes_per_session is None:
        return run.rooms
    return [ContextRoom(run.config.context_tokens, run.cache_bytes_per_session, run.beside_bytes)]


def _at(tokens: int, known: Sequence[tuple[int, int]]) -> int:
    """Return what is expected at so many tokens, along the lines between what is known."""
    if len(known) == 1:
        return known[0][1]
    pairs = list(itertools.pairwise(known))
    (x0, y0), (x1, y1) = next((pair for pair in pairs if tokens <= pair[1][0]), pairs[-1])
    return max(round(y0 + (y1 - y0) * (tokens - x0) / (x1 - x0)), 0)


def _bent(tokens: int, known: Sequence[tuple[int, int]]) -> int:
    """Return what is expected along parabolas, between the two contexts around it."""
    even = _at(tokens, known)
    after = next((at for at, (x, _) in enumerate(known) if tokens <= x), 0)
    if len(known) < 3 or not after:
        return even
    (x0, y0), (x1, y1) = known[after - 1], known[after]
    beside = [known[at] for at in (after - 2, after + 1) if 0 <= at < len(known)]
    x2, y2 = min(beside, key=lambda point: min(abs(point[0] - x0), abs(point[0] - x1)))
    slope = (y1 - y0) / (x1 - x0)
    bend = ((y2 - y1) / (x2 - x1) - slope) / (x2 - x0)
    found = round(y0 + slope * (tokens - x0) + bend * (tokens - x0) * (tokens - x1))
    return min(max(found, min(y0, y1)), max(y0, y1))
