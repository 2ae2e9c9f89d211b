"""Simulated trials of single batches, made in the background for what a slider asks.

One thread works, and only on the latest question: moving a slider sends many requests.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor

from memorymark.errors import MemoryMarkError
from memorymark.records.trial import Trial

KEPT = 256
_log = logging.getLogger(__name__)


class Estimates:
    """Answers questions about single batches, at once where they were asked before."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="memorymark-estimates")
        self._answers: OrderedDict[Hashable, Future[Trial | None]] = OrderedDict()
        self._guard = threading.Lock()

    def ask(self, key: Hashable, simulate: Callable[[], Trial | None]) -> Trial | None:
        """Return the answer if it is known; else start on it and return None.

        A simulation that fails is an answer too: None, for good. Why is in the server's log.
        """
        with self._guard:
            future = self._answers.get(key)
            if future is None or future.cancelled():
                self._drop_waiting()
                future = self._answers[key] = self._pool.submit(_logged, simulate)
            while len(self._answers) > KEPT:
                self._answers.popitem(last=False)
        return future.result() if future.done() else None

    def is_pending(self, key: Hashable) -> bool:
        """Say whether an answer is still being worked on."""
        future = self._answers.get(key)
        return future is not None and not future.done()

    def close(self) -> None:
        """Stop working."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _drop_waiting(self) -> None:
        for key in [key for key, future in self._answers.items() if future.cancel()]:
            del self._answers[key]


def _logged(simulate: Callable[[], Trial | None]) -> Trial | None:
    try:
        return simulate()
    except MemoryMarkError as error:
        _log.info("A batch could not be simulated: %s", error)
    except Exception:
        _log.exception("A batch could not be simulated")
    return None
