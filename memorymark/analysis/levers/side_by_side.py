"""Tries levers one after the other, or several at a time in forked children of this process.

What comes out is the same: a lever takes nothing from another one but how memory grows, from one
that runs the same forward and backward passes, and these are tried by one child in their order.
Events and outcomes come in the order of the levers. What a child cannot do, or has not done when
it ends, is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from memorymark.analysis.levers.combined_levers import Combined
from memorymark.analysis.levers.trying import Attempts, Tried
from memorymark.analysis.reporter import Reporter
from memorymark.bounds import bounds_of_work, cancel_check, working_within
from memorymark.placement.forks import DONE, ENDED, FAILED, SAID, Children, Say, Word, can_fork
from memorymark.records.event import CancelToken, ignore
from memorymark.records.lever import Lever
from memorymark.records.trial import Trial

_SECONDS_BETWEEN_LOOKS = 0.1


class Outcome(NamedTuple):
    """What a lever comes to.

    Attributes:
        tried: The training with it, or why it cannot be tried.
        lever: Its record; None where it changes nothing.
    """

    tried: Tried | str
    lever: Lever | None


Try = Callable[[Attempts, Combined], Outcome]


class SideBySide:
    """Tries levers, until the block is left.

    Args:
        attempts: Tries changes; the training as it is was tried.
        levers: All levers that may be asked for.
        try_lever: Tries one.
        processes: How many processes may work at a time.
    """

    def __init__(
        self, attempts: Attempts, levers: Sequence[Combined], try_lever: Try, processes: int
    ) -> None:
        self._attempts, self._levers, self._try_lever = attempts, list(levers), try_lever
        self._bounds = bounds_of_work()
        most = min(processes, self._bounds.most_processes, len(self._levers))
        self._count = most if most > 1 and can_fork() else 0
        self._stack = ExitStack()
        self._children: Children | None = None
        self._child_of: dict[Hashable, int] = {}

    def __enter__(self) -> SideBySide:
        if self._count:
            self._children = self._stack.enter_context(Children(self._count, self._work))
        return self

    def __exit__(self, *about: object) -> None:
        self._stack.close()
        self._attempts.forget_growths()

    def outcomes(self, levers: Sequence[Combined]) -> Iterator[Outcome]:
        """Yield what levers come to, in their order.

        Raises:
            Cancelled: Somebody has cancelled.
            BoundReached: A simulation takes too much work.
        """
        if self._children is None:
            yield from (self._try_lever(self._attempts, lever) for lever in levers)
            return
        todo = _Todo(self._children, [self._levers.index(lever) for lever in levers])
        for number in todo.numbers:
            outcome = self._awaited(todo, number)
            if outcome is None:
                outcome = self._try_lever(self._attempts, self._levers[number])
            elif outcome.lever is not None and isinstance(outcome.tried, Tried):
                self._attempts.learn(outcome.tried, outcome.lever.max_batch_size)
            yield outcome

    def _awaited(self, todo: _Todo, number: int) -> Outcome | None:
        """Return what a lever comes to when it is its turn; None where no child has found it."""
        reporter = self._attempts.reporter
        while True:
            todo.hand_out(self._child_for)
            for about in todo.heard(number):
                _tell(reporter, about)
            if number in todo.done:
                return todo.done[number]
            reporter.cancel.check()
            todo.listen()

    def _child_for(self, number: int, idle: set[int]) -> int | None:
        """Choose the child for a lever; None where it has to wait."""
        passes = self._attempts.passes_of(self._levers[number].changes)
        assert self._children is not None
        if self._attempts.is_first(passes) or passes is None:
            return min(idle)
        child = self._child_of.get(passes)
        if child not in self._children.alive:
            child = self._child_of[passes] = min(idle)
        return child if child in idle else None

    def _work(self, number: int, say: Say) -> Outcome:
        """Try a lever in a child."""
        self._attempts.reporter = _Relay(say)
        with working_within(self._bounds.shared_out(self._count), cancel_check()):
            return self._try_lever(self._attempts, self._levers[number])


class _Todo:
    """Levers that children try, by number."""

    def __init__(self, children: Children, numbers: list[int]) -> None:
        self.numbers = numbers
        self.done: dict[int, Outcome | None] = {}
        self._children, self._waiting = children, list(numbers)
        self._said: dict[int, list[object]] = {number: [] for number in numbers}

    def hand_out(self, child_for: Callable[[int, set[int]], int | None]) -> None:
        """Give each child that is idle the first lever that it may try."""
        children = self._children
        for number in list(self._waiting):
            if not children.alive:
                self._waiting.remove(number)
                self.done[number] = None
            elif not children.idle:
                return
            elif (child := child_for(number, children.idle)) is not None:
                self._waiting.remove(number)
                children.give(child, number)

    def heard(self, number: int) -> list[object]:
        """Return what is new of a lever."""
        said, self._said[number] = self._said[number], []
        return said

    def listen(self) -> None:
        """Hear what children say, for a moment."""
        for word in self._children.listen(_SECONDS_BETWEEN_LOOKS):
            if word.task is not None:
                self._take(word.task, word)

    def _take(self, number: int, word: Word) -> None:
        if word.kind == SAID:
            self._said[number].append(word.about)
        elif word.kind == DONE:
            self.done[number] = word.about
        elif word.kind in (FAILED, ENDED):
            self.done[number] = None


class _Relay(Reporter):
    """Passes on what a child tells."""

    def __init__(self, say: Say) -> None:
        super().__init__(ignore, CancelToken())
        self._say = say

    def starting(self, batch_size: int) -> None:
        """Say that a trial begins."""
        self._say(batch_size)

    def finished(self, trial: Trial, known: object = None) -> None:
        """Say how a trial ended."""
        self._say(trial)


def _tell(reporter: Reporter, about: object) -> None:
    if isinstance(about, Trial):
        reporter.finished(about)
    elif isinstance(about, int):
        reporter.starting(about)
