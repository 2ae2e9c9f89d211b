"""A worker process: executes the requests that the app's server sends, one after another.

Started as `python -P -m memorymark.service.worker_main FD`, with its end of a socket as FD and in
a session of its own. It stays for further requests, with torch and the workloads loaded, until
the server ends it or is gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import logging
import os
import queue
import socket
import sys
import threading
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memorymark.errors import Cancelled, MemoryMarkError, one_sentence
from memorymark.gpus.catalogue import DEFAULT_GPU
from memorymark.placement.collector import collector_off
from memorymark.placement.forks import processors
from memorymark.probes.poisoned import is_anything_poisoned
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent
from memorymark.records.request import Request, RequestKind
from memorymark.service.messages import Channel, Disconnected
from memorymark.service.orphans import end_group
from memorymark.service.workload_cache import kept_workload
from memorymark.settings import Settings

if TYPE_CHECKING:
    from memorymark.probes.kept_models import KeptModels

_WARM_UP = Request(RequestKind.ESTIMATE, "bert", gpu=DEFAULT_GPU, batch_size=1)
_HEAVY = ("torch", "transformers.modeling_utils", "memorymark.probes.simulated")
# A simulated job leaves the processor to the server, and to the estimates that people wait for.
_NICENESS = 5
_LAST = 19  # what nobody asked for takes what all else leaves
_log = logging.getLogger(__name__)


def written_settings(settings: Settings) -> dict[str, Any]:
    """Return settings as a worker is told them: plain values, without the owner's secret.

    What it simulates is a visitor's: it takes no more than is usual, unless the owner says so.
    """
    values = dataclasses.asdict(settings)
    times = settings.bounds_times or 1.0
    return {**values, "home": str(settings.home), "run_key": None, "bounds_times": times}


def read_settings(values: dict[str, Any]) -> Settings:
    """Return the settings that were written."""
    plain = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return Settings(**{**plain, "home": Path(plain["home"])})


class Worker:
    """What a worker process does.

    Args:
        channel: Leads to the server.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._todo: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._tokens: dict[int, CancelToken] = {}
        self._process_id = os.getpid()
        self._kept: KeptModels | None = None

    def serve(self) -> None:
        """Work until the server is gone."""
        threading.Thread(target=self._listen, name="memorymark-server", daemon=True).start()
        while True:
            message = self._todo.get()
            if "path" in message:
                sys.path[:] = message["path"]
            if message.get("warm"):
                _warm_up()
            if "job" in message:
                if message["settings"]["probe_factory"] is None:
                    load()
                self._do(message)

    def _listen(self) -> None:
        """Take messages while a job works: it may have to be cancelled, or the server ends."""
        try:
            while True:
                message = self._channel.receive()
                if message is None:
                    continue
                if "cancel" in message:
                    self._token(message["cancel"]).cancel()
                else:
                    self._todo.put(message)
        except Disconnected:
            if os.getpgrp() == self._process_id:
                end_group(self._process_id)
            os._exit(1)

    def _token(self, job: int) -> CancelToken:
        return self._tokens.setdefault(job, CancelToken())

    def _do(self, message: dict[str, Any]) -> None:
        job = message["job"]
        tell = partial(self._tell, job=job)
        answer = self._answer(message, tell)
        if os.getpid() != self._process_id:  # a fork of the user's code came out here
            os._exit(0)
        spent = is_anything_poisoned()
        try:
            tell(**answer, spent=spent)
        except (TypeError, ValueError) as error:
            tell(error=f"The result could not be sent: {error}", spent=spent)
        self._tokens.pop(job, None)

    def _tell(self, **message: Any) -> None:
        """Send a message; a fork of the user's code is silent, or the two would talk at once."""
        if os.getpid() == self._process_id:
            self._channel.send(**message)

    def _answer(self, message: dict[str, Any], tell: partial[None]) -> dict[str, Any]:
        """Do the work; whatever happens in it, there is an answer."""
        from memorymark.service.execute import execute

        def on_event(event: Event) -> None:
            known = {"known": event.known().to_dict()} if event.known else {}
            tell(event=event.to_dict(), **known)

        try:
            settings = read_settings(message["settings"])
            request = Request.from_dict(message["request"])
            _give_way(request, is_last=message.get("is_last", False))
            with self._keeping(settings, on_event):
                record = execute(
                    request,
                    settings=settings,
                    find_workload=partial(kept_workload, settings=settings),
                    on_event=on_event,
                    cancel=self._token(message["job"]),
                    processes=processors(),
                )
            return {"record": record.to_dict()}
        except Cancelled as stop:
            known = stop.partial
            return {"cancelled": known and known.to_dict()}
        except MemoryMarkError as error:
            return {"error": str(error)}
        except BaseException as error:  # sys.exit() of the user's code too
            _log.exception("Job %s failed", message["job"])
            return {"error": one_sentence(error)}

    def _keeping(self, settings: Settings, on_event: OnEvent) -> AbstractContextManager[None]:
        """Keep models between jobs; what the owner's own probes need, they keep themselves."""
        if settings.probe_factory is not None:
            return contextlib.nullcontext()
        from memorymark.probes.kept_models import KeptModels, keeping

        if self._kept is None:
            self._kept = KeptModels(settings.kept_model_bytes)
        return keeping(self._kept, lambda text: on_event(Event(EventKind.NOTE, text)))


def _give_way(request: Request, *, is_last: bool) -> None:
    """Let others run first, for good: a worker stays with its line, which for this is its own."""
    if request.is_simulated and request.kind is not RequestKind.ESTIMATE:
        niceness = _LAST if is_last else _NICENESS
        os.nice(niceness - min(niceness, os.nice(0)))


def load() -> None:
    """Load what takes seconds, once.

    Python's collector is off meanwhile, and leaves what was loaded alone for good: it would go
    through hundreds of thousands of objects again and again, for a third of the time.
    """
    if _HEAVY[-1] in sys.modules:
        return
    try:
        with collector_off():
            for name in _HEAVY:
                importlib.import_module(name)
    except Exception:  # the job that needs it says what is wrong
        _log.exception("%s could not be loaded", name)
    gc.freeze()


def _warm_up() -> None:
    """Load what takes seconds before the first job asks for it, and simulate a little."""
    from memorymark.service.execute import execute

    load()
    try:
        execute(_WARM_UP)
    except Exception:
        _log.exception("The worker could not be warmed up")


def main() -> None:
    """Serve on the socket whose number is the first argument."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    Worker(Channel(connection)).serve()


if __name__ == "__main__":
    main()
