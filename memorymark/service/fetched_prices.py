"""Live prices for the pages: fetched when a visitor asks, and kept for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from memorymark.errors import MemoryMarkError
from memorymark.gpus.live_prices import live_prices
from memorymark.gpus.price_list import Price

_KEPT_S = 15 * 60.0  # as long as gpuhunt keeps its own
_FAILURE_KEPT_S = 60.0


@dataclass(frozen=True)
class Fetched:
    """What came of asking the providers.

    Attributes:
        prices: The prices; none where that failed.
        problem: Why it failed, in a sentence; empty where it did not.
    """

    prices: tuple[Price, ...] = ()
    problem: str = ""

    @property
    def observed_at(self) -> str | None:
        """When they were fetched, in words."""
        return self.prices[0].observed_at if self.prices else None


class FetchedPrices:
    """Asks the providers once for all visitors.

    Args:
        fetch: Fetches the prices.
        now_s: A clock in seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], tuple[Price, ...]] = live_prices,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch, self._now_s = fetch, now_s
        self._lock = threading.Lock()
        self._kept: tuple[float, Fetched] | None = None

    def get(self) -> Fetched:
        """Return the prices, fetched now or not long ago."""
        with self._lock:
            if self._kept is None or self._now_s() >= self._kept[0]:
                found = self._fetched()
                kept_s = _FAILURE_KEPT_S if found.problem else _KEPT_S
                self._kept = (self._now_s() + kept_s, found)
            return self._kept[1]

    def _fetched(self) -> Fetched:
        try:
            return Fetched(self._fetch())
        except MemoryMarkError as error:
            return Fetched(problem=str(error))
