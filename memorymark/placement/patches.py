"""Changes to what the whole process shares, and their end: in a child forked meanwhile, too.

A forked child has only the thread that forked. What the others had changed would stay for good,
and a lock that they held would never be free.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import get_ident
from typing import Any
from unittest import mock

_undoing: dict[object, tuple[int, Callable[[], object]]] = {}


class ProcessLock:
    """A lock that a thread may take again; free in a forked child, unless its own thread has it."""

    def __init__(self) -> None:
        self._lock, self._owner, self._deep = threading.RLock(), 0, 0
        _locks.append(self)

    def __enter__(self) -> None:
        self._lock.acquire()
        self._owner, self._deep = get_ident(), self._deep + 1

    def __exit__(self, *_: object) -> None:
        self._deep -= 1
        self._owner = self._owner if self._deep else 0
        self._lock.release()

    def forget_other_threads(self) -> None:
        """Be free, unless this thread has it."""
        if self._owner != get_ident():
            self._lock, self._owner, self._deep = threading.RLock(), 0, 0


_locks: list[ProcessLock] = []

# Held by whoever has patched functions for a simulation: what several threads put in place, none
# could take away.
simulation_lock = ProcessLock()


@contextmanager
def patched(patches: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    """Put replacements in place: triples of owner, name and replacement. Under a lock."""
    with ExitStack() as stack:
        for owner, name, value in patches:
            patch = mock.patch.object(owner, name, value)
            undo = functools.partial(patch.__exit__, None, None, None)
            stack.enter_context(undone_in_forks(undo))
            stack.enter_context(patch)
        yield


@contextmanager
def undone_in_forks(undo: Callable[[], object]) -> Iterator[None]:
    """Have a child that another thread forks meanwhile undo what is done inside."""
    key = object()
    _undoing[key] = get_ident(), undo
    try:
        yield
    finally:
        _undoing.pop(key, None)


class SharedByThreads:
    """A change to the process that the first thread to come makes, and the last to go ends.

    Args:
        change: Makes the change when it is entered and ends it when it is left.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[Any]]) -> None:
        self._change, self._made = change, ExitStack()
        self._guard, self._holders = ProcessLock(), 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the change."""
        with undone_in_forks(self._let_go):
            with self._guard:
                if not self._holders:
                    self._made.enter_context(self._change())
                self._holders += 1
            try:
                yield
            finally:
                with self._guard:
                    self._let_go()

    def _let_go(self) -> None:
        self._holders -= 1
        if not self._holders:
            self._made.close()


def _forget_other_threads() -> None:
    for key, (thread, undo) in reversed(list(_undoing.items())):
        if thread != get_ident():
            del _undoing[key]
            with contextlib.suppress(Exception):  # it was about to be done, or undone already
                undo()
    for lock in _locks:
        lock.forget_other_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
