"""Ends code that neither makes modules nor runs operations, where it takes too much all the same.

A model may compute a table in a loop of plain Python, which nothing meters.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from memorymark.bounds import Meter
from memorymark.errors import BoundReached

_SECONDS_BETWEEN = 0.2
_SECONDS_TO_END = 1.0  # for code that ends; then it is told again
_CALLS = 100


class _Ended(BaseException):
    """Raised in the thread that is watched.

    What catches everything swallows it, as Python itself does in a callback of its collector.
    """


@contextmanager
def watched(meter: Meter) -> Iterator[None]:
    """Look at a meter from another thread, and end the code inside where a bound is reached.

    Code that is not Python's ends first. The meter says what was reached.
    """
    watched_thread, lock = threading.get_ident(), threading.Lock()
    done, ended = threading.Event(), threading.Event()
    clock = _clock_of(watched_thread)

    def look() -> None:
        while not done.wait(_SECONDS_TO_END if ended.is_set() else _SECONDS_BETWEEN):
            try:
                meter.look(time.clock_gettime(clock) if clock is not None else None)
            except BoundReached:
                with lock:
                    if not done.is_set():
                        ended.set()
                        _raise_in(watched_thread, _Ended)

    threading.Thread(target=look, name="memorymark-watchdog", daemon=True).start()
    try:
        yield
    finally:
        try:
            with lock:
                done.set()
            if ended.is_set():
                _let_it_come()
        except _Ended:
            done.set()


def _clock_of(thread: int) -> int | None:
    """Return the clock of a thread's processor time; None where there is none."""
    with contextlib.suppress(AttributeError, OSError):
        return time.pthread_getcpuclockid(thread)
    return None


def _raise_in(thread: int, error: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def _let_it_come() -> None:
    """Run until what was raised in this thread has come, if it has not.

    Python looks for it at every call. Taking it back instead leaves CPython 3.11 looking for ever:
    all code is slower, and under a profiler the next call never returns.
    """
    for _ in range(_CALLS):
        threading.get_ident()
        _nothing()


def _nothing() -> None:
    """Be called."""
