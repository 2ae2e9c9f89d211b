"""One measurement at a time per device, over all threads and processes of a user.

The operating system holds the lock and frees it when the process ends, however it ends. The
lock's file stays and means nothing by itself.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from memorymark.settings import load_settings

try:
    import fcntl
except ImportError:
    fcntl = None
    import msvcrt

POLL_SECONDS = 0.1
_held = threading.local()


@contextmanager
def device_lock(
    name: str,
    *,
    folder: Path | None = None,
    on_wait: Callable[[], None] | None = None,
    check: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold a device for the length of a block; wait while another thread or process has it.

    A thread that holds the device already passes straight through.

    Args:
        name: `Target.lock_name` of the device, as in "cuda:0".
        folder: Where the lock's file lies; None takes the folder of the settings.
        on_wait: Called once where the device is held by another.
        check: Called while waiting; it may raise to stop the wait.

    Example:
        >>> with device_lock("cpu:0"):
        ...     pass
    """
    path = _path(name, folder)
    names = _held.__dict__.setdefault("names", set())
    if path in names:
        yield
        return
    file = _wait_for(path, on_wait or _nothing, check or _nothing)
    names.add(path)
    try:
        yield
    finally:
        names.discard(path)
        file.close()


def is_locked(name: str, *, folder: Path | None = None) -> bool:
    """Say whether some thread or process holds a device now."""
    path = _path(name, folder)
    file = try_lock(path)
    if file is None:
        return True
    file.close()
    return False


def try_lock(path: Path) -> IO[str] | None:
    """Take the lock of a file if it is free; the lock lasts until the file is closed.

    Returns:
        The open file, or None where another holds it.
    """
    file = path.open("a")
    try:
        if fcntl is None:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _path(name: str, folder: Path | None) -> Path:
    folder = folder or load_settings().locks_folder
    folder.mkdir(parents=True, exist_ok=True)
    safe = "".join(letter if letter.isalnum() else "-" for letter in name)
    return folder / f"{safe}.lock"


def _wait_for(path: Path, on_wait: Callable[[], None], check: Callable[[], None]) -> IO[str]:
    file = try_lock(path)
    if file is None:
        on_wait()
    while file is None:
        check()
        time.sleep(POLL_SECONDS)
        file = try_lock(path)
    return file


def _nothing() -> None:
    return None


class Owner:
    """A sign of life of this process that others can look for by name.

    Args:
        folder: Where the sign's file lies.
    """

    def __init__(self, folder: Path) -> None:
        self.name = secrets.token_hex(4)
        self._folder = folder
        self._file = try_lock(self._path(self.name))

    def lives(self, name: str | None) -> bool:
        """Say whether the owner with this name is still there."""
        path = self._path(name or "")
        if not path.exists():
            return False
        file = try_lock(path)
        if file is None:
            return True
        file.close()
        path.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        """Take the sign away."""
        if self._file is not None:
            self._file.close()
            self._path(self.name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"owner-{name}.lock"
