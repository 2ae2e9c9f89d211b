"""One worker process as the app's server sees it: given a request, watched, and ended hard."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memorymark.errors import Cancelled, MemoryMarkError
from memorymark.records.event import CancelToken, Event, OnEvent
from memorymark.records.request import Request, RequestKind
from memorymark.service.messages import NO_MEDIA, Channel, Disconnected, written_media
from memorymark.service.orphans import OrphanGuard, end_group
from memorymark.service.worker_main import written_settings
from memorymark.settings import Settings
from memorymark.units import mib_or_gib, seconds

GRACE_SECONDS = 1.0  # ending the process and writing the run down take some 0.3 s more
SAVING_SECONDS = 120.0  # a training ends its step, and writes its checkpoint and its model
_TICK_SECONDS = 0.05
_EXIT_SECONDS = 5.0
_LAST_WORDS_SECONDS = 0.5
_SEND_SECONDS = 10.0
_SECRETS = ("MEMORYMARK_RUN_KEY",)


class WorkerFailed(MemoryMarkError):
    """A job was not done: it failed, its process ended, or it passed a bound.

    Args:
        sentence: Why.
        partial: The record of what was known by then, as JSON; None where nothing was.
    """

    def __init__(self, sentence: str, partial: dict[str, Any] | None = None) -> None:
        self.partial = partial
        super().__init__(sentence)


@dataclass(frozen=True)
class WorkerBounds:
    """What a job may take before it is ended.

    Attributes:
        memory_bytes: Resident memory of its process; None: no bound.
        seconds: Its length; None: no bound.
        gives_way: For what all else goes before: whether to stand still now; None: like others.
    """

    memory_bytes: int | None = None
    seconds: float | None = None
    gives_way: Callable[[], bool] | None = None


@dataclass
class _Watch:
    """One job while it is worked on."""

    bounds: WorkerBounds
    cancel: CancelToken
    grace_seconds: float = GRACE_SECONDS
    began: float = field(default_factory=time.monotonic)
    told_at: float | None = None
    ended_at: float | None = None
    known: dict[str, Any] | None = None


class WorkerProcess:
    """Starts a process in a session of its own, so that Ctrl-C in the terminal does not reach it.

    Args:
        guard: Ends the process when this one is gone.
        warm: Whether it loads torch before it is asked for anything.
    """

    def __init__(self, guard: OrphanGuard, *, warm: bool = False) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "memorymark.service.worker_main", str(number)],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=(number,),
                start_new_session=True,
            )
        self._guard, self._channel, self.jobs = guard, Channel(ours, _SEND_SECONDS), 0
        self._ending, self._has_ended = threading.Lock(), False
        self.is_ready, self._stands_still = True, False
        guard.add(self.pid)
        with contextlib.suppress(Disconnected):  # the first job says what is wrong
            self._channel.send(path=sys.path, warm=warm)

    @property
    def pid(self) -> int:
        """Number of the process, which is also that of its process group."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process is there and listens."""
        return self._process.poll() is None and not self._channel.is_closed()

    @property
    def memory_bytes(self) -> int | None:
        """Resident memory; None where the operating system does not say."""
        return resident_bytes(self.pid)

    def run(
        self,
        request: Request,
        settings: Settings,
        bounds: WorkerBounds,
        on_event: OnEvent,
        cancel: CancelToken,
        media: Mapping[str, bytes] = NO_MEDIA,
    ) -> dict[str, Any]:
        """Have a request executed and return its record, as JSON.

        Afterwards `is_ready` says whether the process can take another.

        Raises:
            WorkerFailed: The work failed, or the process ended.
            Cancelled: The work was stopped.
        """
        self.is_ready, self.jobs = False, self.jobs + 1
        watch = _Watch(bounds, cancel, grace_seconds(request.kind))
        try:
            self._channel.send(
                job=self.jobs, request=request.to_dict(), settings=written_settings(settings),
                is_last=bounds.gives_way is not None, media=written_media(media),
            )  # fmt: skip
            while True:
                message = self._channel.receive(_TICK_SECONDS)
                if message is not None and message.get("job") == self.jobs:
                    if "event" not in message:
                        return self._answer(message, watch)
                    watch.known = message.get("known", watch.known)
                    on_event(_event_of(message))
                self._look_after(watch)
        except WorkerFailed:
            raise
        except (Disconnected, TypeError, MemoryMarkError) as error:
            raise WorkerFailed(self._how_it_ended(error, watch), watch.known) from error
        finally:
            self._stand_still(False)

    def end(self) -> None:
        """End the process and all that it started, at once."""
        self.is_ready = False
        with self._ending:
            if self._has_ended:
                return
            end_group(self.pid)
            self._guard.forget(self.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):  # a driver may hold it for a while
                self._process.wait(_EXIT_SECONDS)
            self._channel.close()
            self._has_ended = True

    def _answer(self, message: dict[str, Any], watch: _Watch) -> dict[str, Any]:
        if not {"cancelled", "error", "record"} & message.keys():
            raise Disconnected("it sent no answer")
        self.is_ready = not message.get("spent")  # it has lost its device
        if "cancelled" in message:
            raise Cancelled(partial=message["cancelled"] or watch.known)
        if "error" in message:
            raise WorkerFailed(str(message["error"]), watch.known)
        return message["record"]

    def _look_after(self, watch: _Watch) -> None:
        """Pass a cancellation on; end the process where it goes on, or passes a bound."""
        now, gives_way = time.monotonic(), watch.bounds.gives_way
        self._stand_still(not watch.cancel.cancelled and gives_way is not None and gives_way())
        if watch.cancel.cancelled and watch.told_at is None:
            watch.told_at = now
            self._channel.send(cancel=self.jobs)
        if watch.told_at is not None and now - watch.told_at > watch.grace_seconds:
            self.end()
            raise Cancelled(partial=watch.known)
        sentence = self._passed_bound(watch, now - watch.began)
        if sentence is not None:
            self.end()
            raise WorkerFailed(sentence, watch.known)
        if self._process.poll() is not None:  # what it said before is read to its end
            watch.ended_at = watch.ended_at or now
            if now - watch.ended_at > _LAST_WORDS_SECONDS:  # a fork keeps its connection open
                raise Disconnected("it ended", is_gone=True)

    def _stand_still(self, still: bool) -> None:
        """Halt the process and all that it started, or let it go on."""
        if still is not self._stands_still:
            self._stands_still = still
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGSTOP if still else signal.SIGCONT)

    def _passed_bound(self, watch: _Watch, elapsed: float) -> str | None:
        bounds = watch.bounds
        memory = None if bounds.memory_bytes is None else self.memory_bytes
        if memory is not None and memory > bounds.memory_bytes:
            return (
                f"Stopped: the simulation took {mib_or_gib(memory)} of this machine's memory, more "
                f"than the {mib_or_gib(bounds.memory_bytes)} that MEMORYMARK_BOUNDS allows. Try a "
                "smaller model or batch size, or raise it."
            )
        if bounds.seconds is not None and elapsed > bounds.seconds:
            return (
                f"Stopped: the simulation took longer than the {seconds(bounds.seconds)} that "
                "MEMORYMARK_BOUNDS allows. Try a smaller model or fewer GPUs, or raise it."
            )
        return None

    def _how_it_ended(self, error: BaseException, watch: _Watch) -> str:
        """End what is left of the process, and say what happened to it."""
        if getattr(error, "is_gone", False):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_SECONDS)
        code = self._process.poll()
        self.end()
        if code is None:
            how = f"was ended, because {error}"
        elif code < 0:
            how = f"ended with signal {_signal_name(-code)}"
        else:
            how = f"ended with exit code {code}"
        about = " That is how the operating system ends a process when memory runs out."
        out_of_memory = about if code == -signal.SIGKILL else ""
        return f"The process that ran this job {how}; start it again.{out_of_memory}"


def _event_of(message: dict[str, Any]) -> Event:
    """Return the event that a worker tells of, with the record of what is known by then."""
    event, known = Event.from_dict(message["event"]), message.get("known")
    return event if known is None else dataclasses.replace(event, known=lambda: known)


def grace_seconds(kind: RequestKind) -> float:
    """Return how long a job of a kind may go on after it was cancelled."""
    saves = kind in (RequestKind.TRAIN, RequestKind.COMPARE_TRAINING)
    return SAVING_SECONDS if saves else GRACE_SECONDS


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process; None where the operating system does not say."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _environment() -> dict[str, str]:
    """Return the environment of a worker: it finds this package, and no secret of the owner's."""
    values = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    root = str(Path(__file__).resolve().parents[2])
    values["PYTHONPATH"] = os.pathsep.join(filter(None, [root, values.get("PYTHONPATH")]))
    return values


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
