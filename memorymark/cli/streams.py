"""The program's own standard streams, out of reach of the code that it runs.

A command runs the user's code and libraries in its own process. They print on any descriptor,
close what they did not open and leave functions to be called at exit. So the result goes to a
duplicate of standard output that they do not know, and from the work on until the process ends
descriptor 1 leads to standard error.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

from memorymark.errors import NotAvailable

# What a terminal that only knows ASCII is shown.
_PLAIN = {
    "—": "-",
    "–": "-",
    "─": "-",
    "·": ".",
    "×": "x",
    "…": "...",
    "│": "|",
    "└": "`",
    "├": "|",
}
_IN_PLAIN = "memorymark.plain"


@dataclass(frozen=True)
class _Own:
    """The streams of the program; no result where standard output was closed from the start."""

    result: TextIO | None
    messages: TextIO


_own: _Own | None = None


def own_streams() -> None:
    """Keep the standard streams of this process for its program, until it ends.

    Where it is not called, as in a program that only calls `main`, results go to `sys.stdout`.
    """
    global _own
    if _own is not None:
        return
    was_open = [_hold(descriptor) for descriptor in (0, 1, 2)]
    result = _stream(_Result(1), sys.stdout) if was_open[1] else None
    if isinstance(sys.__stdout__, io.TextIOWrapper):
        sys.__stdout__.reconfigure(errors="backslashreplace", line_buffering=True)
    _own = _Own(result, _stream(_Messages(os.dup(2), "wb"), sys.stderr))
    sys.stdout = result
    atexit.register(_settle)


def result_stream() -> TextIO:
    """Return where results are written.

    Raises:
        NotAvailable: Standard output is closed.
    """
    stream = sys.stdout if _own is None else _own.result
    if stream is None:
        raise NotAvailable(_unwritten("it is closed"))
    return stream


def message_stream() -> TextIO:
    """Return where all else that the program says is written."""
    return (sys.stderr or io.StringIO()) if _own is None else _own.messages


@contextlib.contextmanager
def diverted() -> Iterator[None]:
    """Send all that is printed to standard error; for the program's own streams, for good."""
    if _own is None:
        with contextlib.redirect_stdout(message_stream()):
            yield
        return
    if sys.stdout is _own.result:
        os.dup2(2, 1)
        sys.stdout = _stream(_Messages(1, "wb", closefd=False), sys.__stdout__)
    yield


class _Result(io.FileIO):
    """A duplicate of a descriptor, which says in a sentence why it cannot be written."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(os.dup(descriptor), "wb")
        if not os.get_blocking(self.fileno()):
            os.set_blocking(self.fileno(), True)
        self._file = _identity(self.fileno())

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write, unless the descriptor has come to mean another file."""
        try:
            if _identity(self.fileno()) != self._file:
                raise NotAvailable(_unwritten("the model's code has closed it"))
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise NotAvailable(_unwritten(error.strerror or str(error))) from error


class _Messages(io.FileIO):
    """A descriptor that loses what cannot be written: there is nobody left to be told."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write, or say that it was written."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _stream(raw: io.FileIO, like: TextIO | None) -> TextIO:
    """Return a text stream with the encoding of another; what it lacks is written plainly."""
    encoding = getattr(like, "encoding", None) or "utf-8"
    in_lines = isinstance(raw, _Messages) or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors=_IN_PLAIN, line_buffering=in_lines
    )


def _hold(descriptor: int) -> bool:
    """Say whether a descriptor is open; a closed one is opened, lest a file takes its number."""
    try:
        os.fstat(descriptor)
        return True
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        os.dup2(opened, descriptor)  # inheritable, unlike what `open` gives
        if opened != descriptor:
            os.close(opened)
        return False


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _unwritten(why: str) -> str:
    return f"The result cannot be written to standard output: {why}."


def _settle() -> None:
    """Write what is left, or drop it: Python ends with 120 where it cannot be written."""
    for name in ("stdout", "stderr"):
        if not _flushed(getattr(sys, name).flush if getattr(sys, name) else lambda: None):
            setattr(sys, name, None)
    if _own is not None and _own.result is not None:
        _flushed(_own.result.close)


def _flushed(flush: Callable[[], None]) -> bool:
    try:
        flush()
        return True
    except (OSError, ValueError, NotAvailable):
        return False


def _in_plain(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding lacks in ASCII; bytes that were no text, as in names, escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    plain = (_PLAIN.get(x) or x.encode("ascii", "backslashreplace").decode() for x in lacking)
    return "".join(plain), error.end


codecs.register_error(_IN_PLAIN, _in_plain)
