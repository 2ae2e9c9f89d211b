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

from filelock import BaseFileLock, FileLock, Timeout

from memorymark.errors import DeviceError
from memorymark.settings import load_settings

POLL_SECONDS = 0.1


def _nothing(text: str = "") -> None:
    return None


@contextmanager
def device_lease(
    name: str,
    *,
    folder: Path | None = None,
    note: Callable[[str], None] = _nothing,
    check: Callable[[], None] = _nothing,
) -> Iterator[None]:
    """Hold a device for the length of a block; wait while another thread or process has it.

    A thread that holds the device already passes straight through.

    Args:
        name: `Target.lock_name` of the device, as in "cuda:0".
        folder: Where the lock's file lies; None takes the folder of the settings.
        note: Told where the device is held by another, and where the lock cannot be given back.
        check: Called while waiting; it may raise to stop the wait.

    Raises:
        DeviceError: The folder takes no lock: others could measure at the same time.

    Example:
        >>> with device_lease("cpu:0"):
        ...     pass
    """
    folder = folder or load_settings().locks_folder
    try:
        lock = FileLock(_path(name, folder), is_singleton=True)
        _wait_for(lock, name, note, check)
    except (OSError, NotImplementedError) as error:
        raise DeviceError(
            f"{name} cannot be measured on, since no lock against other measurements can be made "
            f"in {folder}: {getattr(error, 'strerror', None) or error}. Name another folder with "
            "MEMORYMARK_HOME, or simulate a GPU."
        ) from error
    try:
        yield
    finally:
        try:
            lock.release()
        except OSError as error:  # the work is done: its record is not lost for that
            note(f"The lock of {name} could not be given back: {error}.")


class Owner:
    """A lock file that shows, by its name, that this process is alive.

    Args:
        folder: Where the file lies.
    """

    def __init__(self, folder: Path) -> None:
        self.name = secrets.token_hex(4)
        self._path = _owner_path(folder, self.name)
        self._lock = FileLock(self._path)
        self._lock.acquire()

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


def _took(lock: BaseFileLock, seconds: float) -> bool:
    """Take a lock within some seconds, or say that another holds it."""
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    return True


def _wait_for(
    lock: BaseFileLock, name: str, note: Callable[[str], None], check: Callable[[], None]
) -> None:
    if _took(lock, 0):
        return
    note(f"{name} is in use by another measurement; waiting.")
    check()
    while not _took(lock, POLL_SECONDS):
        check()


def _path(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    safe = "".join(letter if letter.isalnum() else "-" for letter in name)
    return folder.resolve() / f"{safe}.lock"
