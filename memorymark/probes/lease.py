"""One measurement at a time on a device, over all threads and processes of a user.

The operating system holds the lock and frees it when the process ends, however it ends. The
lock's file stays and means nothing by itself.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from memorymark.settings import load_settings

POLL_SECONDS = 0.1


def _nothing() -> None:
    return None


@contextmanager
def device_lease(
    name: str,
    *,
    folder: Path | None = None,
    on_wait: Callable[[], None] = _nothing,
    check: Callable[[], None] = _nothing,
) -> Iterator[None]:
    """Hold a device for the length of a block; wait while another thread or process has it.

    A thread that holds the device already passes straight through.

    Args:
        name: `Target.lock_name` of the device, as in "cuda:0".
        folder: Where the lock's file lies; None takes the folder of the settings.
        on_wait: Called once where the device is held by another.
        check: Called while waiting; it may raise to stop the wait.

    Example:
        >>> with device_lease("cpu:0"):
        ...     pass
    """
    lock = FileLock(_path(name, folder), is_singleton=True)
    if not _took(lock, 0):
        on_wait()
        check()
        while not _took(lock, POLL_SECONDS):
            check()
    try:
        yield
    finally:
        lock.release()


class Owner:
    """A lock file that shows, by its name, that this process is alive.

    Args:
        folder: Where the file lies.
    """

    def __init__(self, folder: Path) -> None:
        self.name = secrets.token_hex(4)
        self._folder = folder
        self._path = _owner_path(folder, self.name)
        self._lock = FileLock(self._path)
        self._lock.acquire()

    def lives(self, name: str | None) -> bool:
        """Say whether the owner with this name is still there."""
        return owner_lives(self._folder, name)

    def close(self) -> None:
        """Release and delete the file."""
        self._lock.release()
        self._path.unlink(missing_ok=True)


def owner_lives(folder: Path, name: str | None) -> bool:
    """Say whether the owner with this name is still there; where nobody may look, that it is.

    Args:
        folder: Where the owners' files lie.
        name: Of the owner; None is nobody.
    """
    if not re.fullmatch(r"\w{1,64}", name or ""):
        return False
    path = _owner_path(folder, name)
    try:
        if not path.exists():
            return False
        lock = FileLock(path)
        if not _took(lock, 0):
            return True
        lock.release()
        path.unlink(missing_ok=True)
    except OSError:
        return True
    return False


def _owner_path(folder: Path, name: str) -> Path:
    return folder / f"owner-{name}.lock"


def _took(lock: FileLock, seconds: float) -> bool:
    """Take a lock within some seconds, or say that another holds it."""
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    return True


def _path(name: str, folder: Path | None) -> Path:
    folder = folder or load_settings().locks_folder
    folder.mkdir(parents=True, exist_ok=True)
    safe = "".join(letter if letter.isalnum() else "-" for letter in name)
    return folder.resolve() / f"{safe}.lock"
