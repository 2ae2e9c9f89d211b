"""How much work a simulation may take, and the meter that ends it where it takes more.

A configuration of a few bytes can ask for any amount of work: a million layers, a loop over ten
million tokens. So whatever builds and runs a model without data is metered: every module that is
made and every operation that runs is counted, and a bound that is reached ends the work with a
sentence. Whoever waits for it can also cancel it there.

The meter sees what runs through PyTorch. What does not is bounded from outside: the app's jobs run
in processes of their own, which its server ends where they pass `process_bytes` or `job_seconds`.

The bounds are far above what the largest trainings of today take: a step of a decoder of 70
billion parameters is some 50,000 operations with the steps that repeat it, a thousand layers of
BERT are 390,000, and Mamba-130M, which loops over time in Python, takes 800,000 at 512 tokens.

The app serves strangers, and has them as they stand here. Who calls the command line or the library
waits for his own work, and may take more of his own machine. MEMORYMARK_BOUNDS sets how much, for
the processes too.
"""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NoReturn

from memorymark.errors import BoundReached
from memorymark.units import KIB, MIB, mib_or_gib, seconds

_PROCESS_BYTES = 2560 * MIB  # what a process holds beside its simulation: torch, models, batches
# Where a simulation's memory is shared out over several processes, each has at least so much.
_LEAST_SHARE_BYTES = 512 * MIB
# Reading a clock takes longer than counting, and a thread's own one asks the kernel: both are read
# once in so many operations, the clock after the longer while.
_BETWEEN_READINGS, _BETWEEN_CLOCKS = 256, 1024
# How many times as much as in the app one may take on one's own.
ON_ONES_OWN = 4.0
_ADVICE = (
    "Make the model, its sequences or its steps smaller, or, on a machine of your own, set "
    "MEMORYMARK_BOUNDS={times} and wait."
)


@dataclass(frozen=True)
class Bounds:
    """The most that a piece of work may take.

    Attributes:
        operations: Operations of one simulation, over all of its steps.
        seconds: Seconds of this thread's processor time for building one model, and for one
            simulation: a machine that does other work too does not change what is simulated.
        modules: Modules and parameters of one model.
        host_bytes: Bytes by which this process may grow while one model is built, and while one
            is simulated, for its trace and graph; and those of the tensors of a model that cannot
            be built without any on the host.
        job_seconds: Seconds that a job of simulations in a process of its own may take.
        times: How many times as much as usual all of them are.
    """

    operations: int = 1_000_000
    seconds: float = 25.0
    modules: int = 250_000
    host_bytes: int = 1536 * MIB
    job_seconds: float = 1800.0
    times: float = 1.0

    @property
    def process_bytes(self) -> int:
        """Resident memory of a process that simulates."""
        return _PROCESS_BYTES + self.host_bytes

    @property
    def most_processes(self) -> int:
        """Over how many processes at the most the work of one may be shared out."""
        return max(1, self.host_bytes // _LEAST_SHARE_BYTES)

    def shared_out(self, processes: int) -> Bounds:
        """Return the bounds of each of several processes, which take together what one may."""
        return dataclasses.replace(self, host_bytes=self.host_bytes // processes)

    def multiplied(self, times: float) -> Bounds:
        """Return bounds that are so many times as large."""
        return Bounds(
            int(self.operations * times),
            self.seconds * times,
            int(self.modules * times),
            int(self.host_bytes * times),
            self.job_seconds * times,
            self.times * times,
        )


class Meter:
    """Counts what one piece of work takes.

    Args:
        what: What does the work, as a sentence begins: "The simulation".
        bounds: The most that it may take.
        check: Called at every step of the work; raises where somebody has cancelled.

    Attributes:
        reached: What was raised at a bound; code of a model may have caught it.
    """

    def __init__(self, what: str, bounds: Bounds, check: Callable[[], None]) -> None:
        self.reached: BoundReached | None = None
        self._what = what
        self._bounds = bounds
        self._check = check
        self._ends = time.thread_time() + bounds.seconds
        self._largest = _memory_bytes() + bounds.host_bytes
        self._operations = self._modules = 0

    def operation(self) -> None:
        """Count an operation.

        Raises:
            BoundReached: It is one too many, or all of them take too long or too much memory.
            Cancelled: Somebody has cancelled.
        """
        self._check()
        self._operations += 1
        if self._operations % _BETWEEN_READINGS == 0:
            self._read_memory()
            if self._operations % _BETWEEN_CLOCKS == 0:
                self._read_clock()
        if self._operations > self._bounds.operations:
            self._stop(f"{self._bounds.operations:,} operations")

    def module(self) -> None:
        """Count a module, or a parameter.

        Raises:
            BoundReached: It is one too many, or all of them take too long.
            Cancelled: Somebody has cancelled.
        """
        self._check()
        self._modules += 1
        if self._modules % _BETWEEN_READINGS == 0:
            self._read_clock()
        if self._modules > self._bounds.modules:
            self._stop(f"{self._bounds.modules:,} modules and parameters")

    def look(self, thread_seconds: float | None) -> None:
        """Look at the work from another thread.

        Args:
            thread_seconds: What the clock of the thread that works shows; None: unknown.

        Raises:
            BoundReached: It takes too long or too much memory.
        """
        if thread_seconds is not None and thread_seconds > self._ends:
            self._stop_at_seconds()
        self._read_memory()

    @property
    def host_bytes(self) -> int:
        """Bytes of host memory that the tensors of a model may take."""
        return self._bounds.host_bytes

    def stop_at_host_bytes(self) -> NoReturn:
        """Say that they would take more.

        Raises:
            BoundReached: Always.
        """
        self._stop(f"{mib_or_gib(self._bounds.host_bytes)} of this machine's memory")

    def _read_clock(self) -> None:
        if time.thread_time() > self._ends:
            self._stop_at_seconds()

    def _stop_at_seconds(self) -> NoReturn:
        self._stop(f"{seconds(self._bounds.seconds)} of processor time")

    def _read_memory(self) -> None:
        if _memory_bytes() > self._largest:
            self.stop_at_host_bytes()

    def _stop(self, took: str) -> NoReturn:
        advice = _ADVICE.format(times=f"{self._bounds.times * 10:g}")
        self.reached = BoundReached(self._what, took, advice)
        raise self.reached


def _memory_bytes() -> int:
    """Return the bytes that this process holds; where nothing says so, the most it has held."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * KIB


def _never() -> None:
    """Nobody can cancel."""


_limits: ContextVar[tuple[Bounds, Callable[[], None]]] = ContextVar(
    "bounds of the work", default=(Bounds(), _never)
)


@contextmanager
def working_within(bounds: Bounds, check: Callable[[], None]) -> Iterator[None]:
    """Bound all that is built and simulated inside, and let it be cancelled.

    Args:
        bounds: The most that each piece of work may take.
        check: Raises where somebody has cancelled.
    """
    outer = _limits.set((bounds, check))
    try:
        yield
    finally:
        _limits.reset(outer)


def bounds_of_work() -> Bounds:
    """Return the bounds of the work that this is a part of."""
    return _limits.get()[0]


def cancel_check() -> Callable[[], None]:
    """Return what raises where somebody has cancelled, for work that has no bounds of its own."""
    return _limits.get()[1]


def new_meter(what: str) -> Meter:
    """Return a meter for a piece of work that begins now.

    Args:
        what: What does the work, as a sentence begins.
    """
    return Meter(what, *_limits.get())
