"""Ends the processes of a server that is gone, however it went.

A worker that is stuck in foreign code notices nothing. So one small process beside the server
knows the workers' process groups, and ends them when the server's end of its pipe closes. It is
run from this file alone, which imports nothing of the package.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path


class OrphanGuard:
    """Tells the small process which groups to end. It is started with the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    def add(self, group: int) -> None:
        """Have a process group ended when this process ends."""
        with self._lock:
            self._groups.add(group)
            self._tell(group)

    def forget(self, group: int) -> None:
        """Leave a process group alone that has ended: its number may come again."""
        with self._lock:
            self._groups.discard(group)
            self._tell(-group)

    def close(self) -> None:
        """End the groups that are left, and the small process."""
        with self._lock:
            if self._process is not None:
                self._process.communicate()
            self._process, self._is_closed = None, True

    def _tell(self, *numbers: int) -> None:
        if self._is_closed:
            return
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-I", "-S", str(Path(__file__).resolve())]
            self._process = subprocess.Popen(
                command,
                env={},  # it needs none, and learns no secret
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            numbers = tuple(self._groups)
        with contextlib.suppress(BrokenPipeError):  # it ended just now: the next call starts it
            self._process.stdin.write("".join(f"{number}\n" for number in numbers).encode())
            self._process.stdin.flush()


def end_group(group: int) -> None:
    """End a process group at once, as far as it is there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _guard() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        number = int(line)
        if number > 0:
            groups.add(number)
        else:
            groups.discard(-number)
    for group in groups:
        end_group(group)


if __name__ == "__main__":
    _guard()
