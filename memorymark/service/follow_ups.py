"""Work that follows from a result and that nobody pressed for: done while nothing else is to do.

One thread works. It begins only where no job is active, and a job that comes ends what it does,
which begins anew when there is room again. Pages ask again and again for what they wait for: what
no page asks for any more is forgotten before it begins. What is found is a run of the history like
any other; what was given way to, or stopped, leaves none.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from memorymark.errors import Cancelled, MemoryMarkError, one_sentence
from memorymark.records.event import CancelToken, Event
from memorymark.records.request import Request
from memorymark.service.history import RunHistory, new_run_id
from memorymark.service.job import Work
from memorymark.service.run import RunStatus

MAX_WAITING = 20
KEPT = 64
FORSAKEN_SECONDS = 5.0
_TICK_SECONDS = 0.1
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FollowUp:
    """How far such work is.

    Attributes:
        status: Where it stands; cancelled where somebody stopped it, for good.
        share: Share of the work done, from 0 to 1; None where that is not known.
        run_id: The run that it made.
        error: Why it made none, in a sentence.
    """

    status: RunStatus
    share: float | None = None
    run_id: str | None = None
    error: str | None = None


@dataclass
class _Wanted:
    """What a page asks for, on its way.

    Attributes:
        request: What is to be done.
        stays: Whether it is wanted though no page asks.
        asked_at: When a page asked last, as time.monotonic() counts.
        cancel: Ends the work.
        is_stopped: Whether that is for good.
        share: Share of the work done.
    """

    request: Request
    stays: bool
    asked_at: float = field(default_factory=time.monotonic)
    cancel: CancelToken = field(default_factory=CancelToken)
    is_stopped: bool = False
    share: float | None = None

    @property
    def key(self) -> str:
        return _key(self.request)

    @property
    def is_forsaken(self) -> bool:
        return not self.stays and time.monotonic() - self.asked_at > FORSAKEN_SECONDS

    def note(self, event: Event) -> None:
        """Note how far it is."""
        self.share = self.share if event.progress is None else event.progress


class FollowUps:
    """Does what follows from results while nothing else is to do.

    Args:
        history: Where runs are kept.
        work_of: Returns what does the work of a request.
        is_busy: Says whether anything else is to do.
    """

    def __init__(
        self, history: RunHistory, work_of: Callable[[Request], Work], is_busy: Callable[[], bool]
    ) -> None:
        self._history, self._work_of, self._is_busy = history, work_of, is_busy
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str | None, _Wanted] = OrderedDict()  # by page
        self._running: _Wanted | None = None
        self._ended: OrderedDict[str, FollowUp] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def ask(
        self, request: Request, page: str | None = None, *, stays: bool = False
    ) -> FollowUp | None:
        """Say how far a request is, and have it done when there is room.

        None where it is not taken, since too much waits.

        Args:
            request: What is to be done.
            page: Which page asks: its newest request takes the place of an older one that waits.
            stays: Whether it is wanted though no page asks again.
        """
        with self._changed:
            ended = self._ended.get(_key(request))
            if ended is None and not self._is_closed:
                self._take(_Wanted(request, stays), page)
            return ended or self._state(_key(request))

    def state(self, request: Request) -> FollowUp | None:
        """Say how far a request is without asking for it; None where nobody did."""
        with self._changed:
            return self._ended.get(_key(request)) or self._state(_key(request))

    def stop(self, request: Request) -> None:
        """End a request for good: whoever asks again is told that it was stopped."""
        with self._changed:
            key, running = _key(request), self._running
            for page in [page for page, wanted in self._waiting.items() if wanted.key == key]:
                del self._waiting[page]
            if running is not None and running.key == key:
                running.is_stopped = True
                running.cancel.cancel()
            self._keep(key, FollowUp(RunStatus.CANCELLED))

    def give_way(self) -> None:
        """End what is done now: a job has come. It begins anew when there is room again."""
        with self._changed:
            if self._running is not None:
                self._running.cancel.cancel()

    def close(self) -> None:
        """Take nothing more, and end what is done."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            if self._running is not None:
                self._running.cancel.cancel()
            self._changed.notify_all()

    def _state(self, key: str) -> FollowUp | None:
        if self._running is not None and self._running.key == key:
            return FollowUp(RunStatus.RUNNING, self._running.share)
        if any(wanted.key == key for wanted in self._waiting.values()):
            return FollowUp(RunStatus.QUEUED)
        return None

    def _take(self, wanted: _Wanted, page: str | None) -> None:
        """Let a request wait, in the place of the page's last one."""
        running = self._running
        if running is not None and running.key == wanted.key and not running.cancel.cancelled:
            running.asked_at = time.monotonic()
            self._waiting.pop(page, None)
            return
        self._drop_forsaken()
        if page not in self._waiting and len(self._waiting) >= MAX_WAITING:
            return
        self._waiting[page] = wanted
        if running is not None and running.is_forsaken:
            running.cancel.cancel()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._serve, name="memorymark-follow-ups", daemon=True
            )
            self._thread.start()
        self._changed.notify_all()

    def _drop_forsaken(self) -> None:
        for page in [page for page, wanted in self._waiting.items() if wanted.is_forsaken]:
            del self._waiting[page]

    def _serve(self) -> None:
        while (wanted := self._next()) is not None:
            ended = self._do(wanted)
            with self._changed:
                self._running = None
                if wanted.is_stopped or self._is_closed:
                    continue
                if ended is not None:
                    self._keep(wanted.key, ended)
                elif wanted.stays:
                    self._waiting[None] = _Wanted(wanted.request, stays=True)

    def _next(self) -> _Wanted | None:
        """Wait until there is something to do and room for it; None at the end."""
        with self._changed:
            while not self._is_closed:
                self._drop_forsaken()
                if self._waiting and not self._is_busy():
                    _, wanted = self._waiting.popitem(last=False)
                    if wanted.key not in self._ended:
                        self._running = wanted
                        return wanted
                    continue
                self._changed.wait(_TICK_SECONDS if self._waiting else None)
        return None

    def _do(self, wanted: _Wanted) -> FollowUp | None:
        """Do a request; None where it was ended before there was a result."""
        request = wanted.request
        try:
            record = self._work_of(request)(wanted.note, wanted.cancel)
            run_id = self._history.save(
                request.kind, record, request=request.to_dict(), run_id=new_run_id()
            )
        except Cancelled:
            return None
        except MemoryMarkError as error:
            return FollowUp(RunStatus.FAILED, error=str(error))
        except BaseException as error:  # sys.exit() of the user's code too: the next one waits
            _log.exception("What follows from a result could not be found")
            return FollowUp(RunStatus.FAILED, error=one_sentence(error))
        return FollowUp(RunStatus.DONE, run_id=run_id)

    def _keep(self, key: str, ended: FollowUp) -> None:
        self._ended[key] = ended
        while len(self._ended) > KEPT:
            self._ended.popitem(last=False)


def _key(request: Request) -> str:
    return json.dumps(request.identity, sort_keys=True, default=str)
