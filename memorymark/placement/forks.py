"""Children of this process that do a part of its work.

They are forked: all that is loaded and found here is there at once, where a new process would load
torch for seconds. A child has only the thread that forked, so nothing may be forked while another
thread works with torch; and CUDA and macOS do not outlive a fork (PyTorch, Multiprocessing best
practices; Python, multiprocessing: contexts and start methods).

A child does one task after another, and what it says comes through a pipe. It ends with its parent,
however that ends, and can be ended at any time: it holds nothing but its own memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

Say = Callable[[Any], None]
Work = Callable[[int, Say], Any]

_SECONDS_TO_END = 1.0  # of a process that was killed
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG (linux/prctl.h)
_context = multiprocessing.get_context("fork") if sys.platform == "linux" else None


class Word(NamedTuple):
    """What came of a child.

    Attributes:
        child: Its number.
        task: The task that it has.
        kind: SAID, DONE or FAILED; ENDED where the child is there no more.
        about: What was said, or what the work returned.
    """

    child: int
    task: int | None
    kind: str
    about: Any = None


SAID, DONE, FAILED, ENDED = "said", "done", "failed", "ended"


def can_fork() -> bool:
    """Return whether this process may have forked children."""
    return _context is not None and not multiprocessing.current_process().daemon


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Children:
    """Forked processes, until the block is left: then they are ended at once.

    Args:
        count: How many.
        work: Does a task in a child. It is given the task's number, and a function that tells this
            process something of it, which is pickled as its result is.

    Attributes:
        idle: The children that wait for a task.
    """

    def __init__(self, count: int, work: Work) -> None:
        self.idle: set[int] = set()
        self._count, self._work = count, work
        self._processes: list[Any] = []
        self._pipes: dict[int, Connection] = {}
        self._tasks: dict[int, int | None] = {}

    def __enter__(self) -> Children:
        try:
            for number in range(self._count):
                self._fork(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join(_SECONDS_TO_END)
        for pipe in self._pipes.values():
            pipe.close()
        self._processes.clear()
        self._pipes.clear()
        self.idle.clear()

    @property
    def alive(self) -> Iterable[int]:
        """The children that are there."""
        return self._pipes.keys()

    def give(self, child: int, task: int) -> None:
        """Give a child that is idle a task."""
        self.idle.discard(child)
        self._tasks[child] = task
        with contextlib.suppress(OSError):  # it has ended: that is heard when it is listened to
            self._pipes[child].send(task)

    def listen(self, seconds: float) -> Iterator[Word]:
        """Yield what the children say; nothing where none says anything for so long."""
        numbers = {id(pipe): number for number, pipe in self._pipes.items()}
        for pipe in wait(list(self._pipes.values()), seconds):
            child = numbers[id(pipe)]
            task = self._tasks[child]
            try:
                kind, about = pipe.recv()
            except Exception:  # its end, or half a word: nothing more can be made of it
                self._pipes.pop(child).close()
                self.idle.discard(child)
                self._processes[child].kill()
                yield Word(child, task, ENDED)
                continue
            if kind in (DONE, FAILED):
                self._tasks[child] = None
                self.idle.add(child)
            yield Word(child, task, kind, about)

    def _fork(self, number: int) -> None:
        assert _context is not None
        ours, theirs = _context.Pipe()
        process = _context.Process(
            target=_live, args=(theirs, ours, self._work, os.getpid()), daemon=True
        )
        self._pipes[number], self._tasks[number] = ours, None
        with theirs, warnings.catch_warnings():
            # Python 3.12 warns of forks beside other threads, whatever these do.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        self._processes.append(process)
        self.idle.add(number)


def _live(pipe: Connection, other_end: Connection, work: Work, parent: int) -> None:
    """Do the tasks that come, in a child."""
    other_end.close()
    _end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends us
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)  # the threads of the parent's pool are not here

    def say(about: Any) -> None:
        pipe.send((SAID, about))

    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        while True:
            task = pipe.recv()
            try:
                word = ForkingPickler.dumps((DONE, work(task, say)))
            except Exception:
                word = ForkingPickler.dumps((FAILED, None))
            pipe.send_bytes(word)


def _end_with(parent: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
