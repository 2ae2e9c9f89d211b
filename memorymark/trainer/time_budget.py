"""Ends a training in time: what is still to be done after the last step is kept free."""

from __future__ import annotations

import time
from collections import deque

_SPREAD = 1.25  # of the slowest of the last steps: machines are noisy
_LAST = 20


class TimeBudget:
    """Knows how long steps and what follows them take.

    Args:
        seconds: The budget; None for no end.
        began: When it began to run, on the clock of time.monotonic.

    Attributes:
        evaluation_seconds: The longest evaluation so far.
        checkpoint_seconds: The longest checkpoint so far.
    """

    def __init__(self, seconds: float | None, began: float) -> None:
        self._seconds, self._began = seconds, began
        self._steps: deque[float] = deque(maxlen=_LAST)
        self.evaluation_seconds = 0.0
        self.checkpoint_seconds = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float | None:
        """Seconds that are left; None without a budget."""
        return None if self._seconds is None else self._seconds - self.elapsed

    def note_step(self, seconds: float) -> None:
        """Take note of what a step took."""
        self._steps.append(seconds)

    def has_room(self) -> bool:
        """Return whether another step can be done, evaluated and saved in time."""
        left = self.left
        if left is None:
            return True
        ending = self.evaluation_seconds + 2 * self.checkpoint_seconds  # with the model itself
        return left > _SPREAD * (max(self._steps, default=0.0) + ending)
