"""What a generation has written so far, and when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from memorymark.inference.caches import held_bytes
from memorymark.inference.inference_step import Generation
from memorymark.records.generation_run import Ending, Label


@dataclass
class Clock:
    """When what happened, in seconds from the beginning, without those of who hears the text."""

    began: float = field(default_factory=time.perf_counter)
    hearing: float = 0.0
    read: float | None = None
    first: float | None = None
    last: float | None = None

    def now(self) -> float:
        """Return how many they are now."""
        return time.perf_counter() - self.began - self.hearing

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Count nothing meanwhile."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.hearing += time.perf_counter() - began


@dataclass
class Written:
    """What came out so far."""

    tokens: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    labels: tuple[Label, ...] = ()
    state: Generation | None = None
    cache_bytes: int | None = None
    ending: Ending | None = None
    error: str | None = None

    @property
    def cache_now(self) -> int | None:
        """Bytes of keys and values: of the state while there is one, then those of its end."""
        return self.cache_bytes if self.state is None else held_bytes(self.state.cache)
