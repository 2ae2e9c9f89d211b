"""One trial at a time on a device within a process, and none on a device that is broken.

Peak statistics belong to the whole process: two trials at once would spoil each other. Between
processes `memorymark.probes.lease` does the same.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import AbstractContextManager
from typing import Any

from memorymark.errors import PoisonedDevice
from memorymark.records.trial import Target

_locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
_poisoned: dict[str, str] = {}
_guard = threading.Lock()


def only_user(target: Target) -> AbstractContextManager[Any]:
    """Return the lock under which trials on a device run."""
    with _guard:
        return _locks[target.lock_name]


def give_up(target: Target, sentence: str) -> PoisonedDevice:
    """Note that a device can run nothing more in this process; return the error to raise."""
    _poisoned[target.lock_name] = sentence
    return _error(target)


def check_usable(target: Target) -> None:
    """Let a device pass that can still run something.

    Raises:
        PoisonedDevice: An earlier error has broken it for this process.
    """
    if target.lock_name in _poisoned:
        raise _error(target)


def _error(target: Target) -> PoisonedDevice:
    return PoisonedDevice(
        f"An error has broken this process's context on {target.lock_name}, and nothing more can "
        f"run there: {_poisoned[target.lock_name]} Restart MemoryMark to go on; with "
        "CUDA_LAUNCH_BLOCKING=1 in the environment the error names the place that caused it."
    )
