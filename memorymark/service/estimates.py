"""Simulated trials of single batches, found in the background for the memory bar and sliders.

One thread works. Moving a slider asks many questions: of each page only the latest waits, and
visitors take turns. A page asks again until it has its answer, so a question that nobody asks any
more makes room for those that wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from memorymark.errors import Cancelled, MemoryMarkError, one_sentence
from memorymark.records.event import CancelToken
from memorymark.records.trial import Trial

KEPT = 64
MAX_WAITING = 50
MAX_WAITING_OF_A_VISITOR = 10
ERRORS_KEPT_SECONDS = 60.0  # what was missing may be there by then
FORSAKEN_SECONDS = 3.0
Simulate = Callable[[CancelToken], Trial]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What became of a question: one of the two is there.

    Attributes:
        trial: The simulated trial.
        error: Why there is none, in a sentence.
    """

    trial: Trial | None = None
    error: str | None = None


@dataclass
class _Question:
    """A question on its way to its answer.

    Attributes:
        key: Equal for equal questions.
        simulate: Finds the answer.
        asked_at: When somebody asked last, as time.monotonic() counts.
        cancel: Ends the simulation.
    """

    key: Hashable
    simulate: Simulate
    asked_at: float = field(default_factory=time.monotonic)
    cancel: CancelToken = field(default_factory=CancelToken)

    @property
    def is_forsaken(self) -> bool:
        """Whether no page has asked for a while, although pages ask until they have an answer."""
        return time.monotonic() - self.asked_at > FORSAKEN_SECONDS


class Estimates:
    """Answers questions about single batches, at once where they were asked before."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answers: OrderedDict[Hashable, tuple[Answer, float]] = OrderedDict()
        self._waiting: OrderedDict[str | None, OrderedDict[str | None, _Question]] = OrderedDict()
        self._running: _Question | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def ask(
        self,
        key: Hashable,
        simulate: Simulate,
        visitor: str | None = None,
        page: str | None = None,
        wait_seconds: float = 0.0,
    ) -> Answer | None:
        """Return the answer if it is known, or soon is; else have it found out, and return None.

        A question is not taken while those of too many visitors wait; asking again is.

        Args:
            key: Equal for equal questions.
            simulate: Returns the trial, or raises.
            visitor: Who asks: visitors take turns.
            page: Which of the visitor's pages: its newest question replaces an older one.
            wait_seconds: How long to wait for an answer that is not known yet.
        """
        with self._changed:
            answer = self._known(key)
            if answer is None and not self._is_closed:
                self._take(key, simulate, visitor, page)
                if wait_seconds:
                    self._changed.wait_for(lambda: self._is_settled(key), wait_seconds)
                    answer = self._known(key)
            return answer

    def is_pending(self, key: Hashable) -> bool:
        """Say whether an answer is still being worked on."""
        with self._changed:
            return not self._is_settled(key)

    @property
    def is_busy(self) -> bool:
        """Whether any answer is worked on or waited for."""
        with self._changed:
            return self._running is not None or bool(self._waiting)

    def close(self) -> None:
        """Take no more questions, and end the one that is worked on."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            if self._running is not None:
                self._running.cancel.cancel()
            self._changed.notify_all()

    def _known(self, key: Hashable) -> Answer | None:
        answer, until = self._answers.get(key, (None, 0.0))
        return answer if time.monotonic() < until else None

    def _is_settled(self, key: Hashable) -> bool:
        """Whether there is nothing to wait for: it was answered, given up or never taken."""
        return all(question.key != key for question in self._questions())

    def _questions(self) -> list[_Question]:
        waiting = [question for pages in self._waiting.values() for question in pages.values()]
        return waiting if self._running is None else [self._running, *waiting]

    def _take(
        self, key: Hashable, simulate: Simulate, visitor: str | None, page: str | None
    ) -> None:
        """Let a question wait, in the place of the page's last one."""
        if self._running is not None and self._running.key == key:
            self._running.asked_at = time.monotonic()
            return
        self._drop_forsaken()
        pages = self._waiting.get(visitor, OrderedDict())
        if page not in pages and self._is_full(pages):
            return
        if page not in pages or pages[page].key != key:
            pages[page] = _Question(key, simulate)
            self._waiting[visitor] = pages
        pages[page].asked_at = time.monotonic()
        if self._running is not None and self._running.is_forsaken:
            self._running.cancel.cancel()
        self._begin()
        self._changed.notify_all()

    def _drop_forsaken(self) -> None:
        """Let go of waiting questions whose pages are closed: nobody else waits for them."""
        for visitor, pages in list(self._waiting.items()):
            for page in [page for page, question in pages.items() if question.is_forsaken]:
                del pages[page]
            if not pages:
                del self._waiting[visitor]

    def _is_full(self, pages: OrderedDict[str | None, _Question]) -> bool:
        waiting = sum(map(len, self._waiting.values()))
        return waiting >= MAX_WAITING or len(pages) >= MAX_WAITING_OF_A_VISITOR

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="memorymark-estimates", daemon=True
            )
            self._thread.start()

    def _work(self) -> None:
        while (question := self._next()) is not None:
            answer = _answer(question)
            with self._changed:
                self._running = None
                if answer is not None:
                    self._keep(question.key, answer)
                self._changed.notify_all()

    def _keep(self, key: Hashable, answer: Answer) -> None:
        kept_seconds = ERRORS_KEPT_SECONDS if answer.trial is None else float("inf")
        self._answers[key] = answer, time.monotonic() + kept_seconds
        self._answers.move_to_end(key)
        while len(self._answers) > KEPT:
            self._answers.popitem(last=False)

    def _next(self) -> _Question | None:
        """Wait for a question that has no answer yet; None at the end."""
        with self._changed:
            while not self._is_closed:
                self._drop_forsaken()
                while self._waiting:
                    question = self._next_waiting()
                    if self._known(question.key) is None:
                        question.asked_at = time.monotonic()
                        self._running = question
                        return question
                self._changed.wait()
        return None

    def _next_waiting(self) -> _Question:
        """Take a question of the visitor whose turn it is, who is last in line from now on."""
        visitor, pages = self._waiting.popitem(last=False)
        _, question = pages.popitem(last=False)
        if pages:
            self._waiting[visitor] = pages
        return question


def _answer(question: _Question) -> Answer | None:
    """Find an answer; None for a question that was given up."""
    try:
        return Answer(trial=question.simulate(question.cancel))
    except Cancelled:
        return None
    except MemoryMarkError as error:
        return Answer(error=str(error))
    except BaseException as error:  # sys.exit() of the user's code too: the next question waits
        _log.exception("A batch could not be simulated")
        return Answer(error=one_sentence(error))
