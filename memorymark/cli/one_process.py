"""Keeps the program in the one process in which it was started."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from memorymark.cli.failures import WORK_FAILED
from memorymark.cli.streams import message_stream

_end_process = os._exit


@contextlib.contextmanager
def one_process() -> Iterator[None]:
    """Let only the process that comes in go on, and let it say where it is ended within.

    A child that the user's code forks, and that returns from that code, would do its parent's
    work once more and print a second result: it ends here. Children that end by themselves, as
    those of multiprocessing do, are left alone. `os._exit` ends a process at once, in silence
    and as if all were done: the program's own process says so first.
    """
    owner, code = os.getpid(), 0

    def leave(status: int) -> None:
        if os.getpid() != owner:
            _end_process(status)
        message_stream().write(f"Error: The model's code ended the program: os._exit({status}).\n")
        _end(WORK_FAILED)

    os._exit = leave  # type: ignore[assignment]
    try:
        yield
    except BaseException as error:
        code = _code_of(error)
        raise
    finally:
        os._exit = _end_process
        if os.getpid() != owner:
            _end(code)


def end_if_forked(owner: int) -> None:
    """End the process unless it is the owner."""
    if os.getpid() != owner:
        _end(0)


def _end(code: int) -> None:
    for stream in (sys.stdout, sys.stderr, message_stream()):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    _end_process(code)


def _code_of(error: BaseException) -> int:
    code: Any = error.code if isinstance(error, SystemExit) else WORK_FAILED
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else WORK_FAILED
