"""How the time budget is dealt out: each task may take its share of what is left."""

from __future__ import annotations

import time

_SPREAD = 1.25  # machines are noisy


class SharedTime:
    """The time of a run, from its beginning.

    Args:
        seconds: The budget; None for no end.
        began: When it began, on the clock of time.monotonic.
    """

    def __init__(self, seconds: float | None, began: float) -> None:
        self._seconds, self._began = seconds, began

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float | None:
        """Seconds that are left; None without a budget."""
        return None if self._seconds is None else self._seconds - self.elapsed

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self.left is not None and self.left <= 0

    def part(self, count: float) -> SharedTime:
        """Return an equal share of what is left, from now on.

        Args:
            count: How many shares there are.
        """
        left = self.left
        return SharedTime(None if left is None else max(0.0, left) / count, time.monotonic())

    def has_room(self, seconds: float) -> bool:
        """Return whether there is still room for what takes about so long."""
        return self.left is None or self.left > _SPREAD * seconds
