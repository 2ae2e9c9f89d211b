"""Writes the events of jobs to the run history from a thread of its own.

A job's thread only hands its events over: a disk that is slow, or a processor that many viewers
keep busy, does not hold up the measurement.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time

from memorymark.records.event import Event
from memorymark.service.history import RunHistory

_FLUSH_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_log = logging.getLogger(__name__)


class EventLog:
    """Takes events at once and writes them soon after, in order.

    Args:
        history: Where they are written.
    """

    def __init__(self, history: RunHistory) -> None:
        self._history = history
        self._waiting: queue.Queue[tuple[str, int, Event] | threading.Event | None] = queue.Queue()
        self._writer = threading.Thread(target=self._write, name="memorymark-events", daemon=True)
        self._writer.start()

    def add(self, run_id: str, position: int, event: Event) -> None:
        """Take an event."""
        self._waiting.put((run_id, position, event))

    def flush(self) -> None:
        """Wait until all that was taken so far is written."""
        reached = threading.Event()
        self._waiting.put(reached)
        until = time.monotonic() + _FLUSH_SECONDS
        while not reached.wait(_LOOK_SECONDS) and time.monotonic() < until:
            if not self._writer.is_alive():
                return

    def close(self) -> None:
        """Write what is left and end."""
        self._waiting.put(None)

    def _write(self) -> None:
        while (item := self._waiting.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            run_id, position, event = item
            try:
                self._history.add_event(run_id, position, event.to_dict())
            except sqlite3.Error:
                _log.exception("Event %d of run %s could not be written", position, run_id)
