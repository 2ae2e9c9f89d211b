"""Few pages are drawn at a time, so that viewers do not slow a measurement down.

Drawing holds Python's interpreter lock. With fifty threads asking for it, a job's thread would
wait for its turn behind all of them after each step; with two, it waits a few milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SLOTS = threading.BoundedSemaphore(2)
_held = threading.local()


@contextmanager
def drawing() -> Iterator[None]:
    """Wait for a place to draw in; a thread that has one passes through."""
    if getattr(_held, "yes", False):
        yield
        return
    with _SLOTS:
        _held.yes = True
        try:
            yield
        finally:
            _held.yes = False


@contextmanager
def waiting() -> Iterator[None]:
    """Let others draw meanwhile, where this thread only waits for something."""
    if not getattr(_held, "yes", False):
        yield
        return
    _SLOTS.release()
    try:
        yield
    finally:
        _SLOTS.acquire()
