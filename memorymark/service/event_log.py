"""Writes the events of jobs to the run history from a thread of its own.

A job's thread only hands its events over: a disk that is slow, or a processor that many viewers
keep busy, does not hold up the measurement.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor, wait

from memorymark.errors import HistoryUnusable
from memorymark.records.event import Event
from memorymark.service.history import RunHistory

_FLUSH_SECONDS = 30.0
_log = logging.getLogger(__name__)


class EventLog:
    """Takes events at once and writes them soon after, in order.

    Args:
        history: Where they are written.
    """

    def __init__(self, history: RunHistory) -> None:
        self._history = history
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="memorymark-events")
        self._last: Future[None] = self._pool.submit(lambda: None)

    def add(self, run_id: str, position: int, event: Event) -> None:
        """Take an event."""
        self._last = self._pool.submit(self._write, run_id, position, event)

    def flush(self) -> None:
        """Wait until all that was taken so far is written."""
        wait([self._last], _FLUSH_SECONDS)

    def close(self) -> None:
        """Write what is left and end."""
        self._pool.shutdown(wait=False)

    def _write(self, run_id: str, position: int, event: Event) -> None:
        try:
            self._history.add_event(run_id, position, event.to_dict())
        except HistoryUnusable as error:
            _log.error("Event %d of run %s could not be written: %s", position, run_id, error)
