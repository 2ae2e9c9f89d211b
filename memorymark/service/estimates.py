"""Simulated trials of single batches, made in the background for what sliders ask.

One thread works. Moving a slider asks many questions: of each visitor only the latest waits, and
visitors take turns.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from memorymark.errors import MemoryMarkError
from memorymark.records.trial import Trial

KEPT = 64
MAX_WAITING = 50
Simulate = Callable[[], Trial | None]
_log = logging.getLogger(__name__)


class Estimates:
    """Answers questions about single batches, at once where they were asked before."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answers: OrderedDict[Hashable, Trial | None] = OrderedDict()
        self._waiting: OrderedDict[str | None, tuple[Hashable, Simulate]] = OrderedDict()
        self._asked_now: Hashable = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def ask(self, key: Hashable, simulate: Simulate, visitor: str | None = None) -> Trial | None:
        """Return the answer if it is known; else have it found out, and return None.

        A simulation that fails is an answer too: None, for good. Why is in the server's log. A
        question is not taken while those of too many visitors wait; asking again is.
        """
        with self._changed:
            if key in self._answers:
                return self._answers[key]
            if key != self._asked_now:
                self._take(key, simulate, visitor)
        return None

    def is_pending(self, key: Hashable) -> bool:
        """Say whether an answer is still being worked on."""
        with self._changed:
            waiting = any(key == question for question, _ in self._waiting.values())
            return waiting or (self._asked_now is not None and key == self._asked_now)

    def close(self) -> None:
        """Take no more questions."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify()

    def _take(self, key: Hashable, simulate: Simulate, visitor: str | None) -> None:
        """Let a question wait, in the place of the visitor's last one."""
        waiting = self._waiting.get(visitor)
        is_full = waiting is None and len(self._waiting) >= MAX_WAITING
        if is_full or (waiting is not None and waiting[0] == key):
            return
        self._waiting[visitor] = key, simulate
        self._begin()
        self._changed.notify()

    def _begin(self) -> None:
        if self._thread is None and not self._is_closed:
            self._thread = threading.Thread(
                target=self._work, name="memorymark-estimates", daemon=True
            )
            self._thread.start()

    def _work(self) -> None:
        while (question := self._next()) is not None:
            key, simulate = question
            answer = _logged(simulate)
            with self._changed:
                self._answers[key], self._asked_now = answer, None
                while len(self._answers) > KEPT:
                    self._answers.popitem(last=False)

    def _next(self) -> tuple[Hashable, Simulate] | None:
        """Wait for a question that has no answer yet; None at the end."""
        with self._changed:
            while not self._is_closed:
                while self._waiting:
                    _, (key, simulate) = self._waiting.popitem(last=False)
                    if key not in self._answers:
                        self._asked_now = key
                        return key, simulate
                self._changed.wait()
        return None


def _logged(simulate: Simulate) -> Trial | None:
    try:
        return simulate()
    except MemoryMarkError as error:
        _log.info("A batch could not be simulated: %s", error)
    except BaseException:  # sys.exit() of the user's code too: the next question waits
        _log.exception("A batch could not be simulated")
    return None
