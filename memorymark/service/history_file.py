"""The SQLite file of the run history: opened to read and to write, and what can be wrong with it.

Each use opens its own connection, so that a file can be shared freely between threads and
processes, and replaced at any time. It is in write-ahead mode: readers do not wait for a writer.
Reading makes and changes no file; the first write makes it, or brings it to this format.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from memorymark.errors import HistoryUnusable
from memorymark.service.history_format import (
    VERSION,
    bring_to_this_format,
    check_own,
    make_empty,
    show_as_known,
    version_of,
)

_BUSY_TIMEOUT_SECONDS = 30.0
_RETRY_SECONDS = 0.01
# Primary result codes of SQLite: https://www.sqlite.org/rescode.html
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_READ_ONLY = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_BY_EFFECTIVE_USER = os.access in os.supports_effective_ids
_MOVE_ASIDE = "`memorymark runs --move-aside` keeps it under another name and begins a new one"
_ALLOW = "Give this user the right to write to it and its folder"
_UPDATE = "Install that version"


class HistoryFile:
    """Opens the file for reading and for writing.

    Args:
        path: The file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open what is there, in any format; without a file, an empty history.

        Raises:
            HistoryUnusable: It cannot be read.
        """
        with self._said("read"):
            if self.path.exists():
                yield from self._opened()
            else:
                _first_there(self.path)
                yield from _empty()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction; make it, or bring it to this format, first.

        Raises:
            HistoryUnusable: It cannot be written, or is of a newer format.
        """
        with self._said("written"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect("rwc")) as connection:
                self._prepare(connection)
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("PRAGMA synchronous = NORMAL")
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    yield connection

    def problem(self) -> HistoryUnusable | None:
        """Return why it cannot be read or written, where that shows without writing."""
        try:
            with self.reading() as connection:
                version = version_of(connection)
                connection.execute("SELECT run_id FROM runs LIMIT 1").fetchone()
        except HistoryUnusable as error:
            return error
        if version > VERSION:
            return self._newer(version)
        for there in (_first_there(self.path), _first_there(self.path.parent)):
            if not os.access(there, os.W_OK, effective_ids=_BY_EFFECTIVE_USER):
                return HistoryUnusable(self.path, "written", f"{there} is read-only", _ALLOW)
        return None

    def move_aside(self) -> Path | None:
        """Give the file another name beside its own, and return that; None without a file.

        Raises:
            HistoryUnusable: Its folder does not allow it.
        """
        with self._said("written"):
            if not self.path.exists():
                return None
            when = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
            aside = self.path.with_stem(f"{self.path.stem}-{when}")
            for end in ("-wal", "-shm", ""):  # the log belongs to the file, and goes with it
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self.path}{end}").rename(f"{aside}{end}")
            return aside

    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._checked("rw")
        except sqlite3.OperationalError as error:
            if _code(error) not in _READ_ONLY or _size(f"{self.path}-wal"):
                raise
            # A folder that cannot be written has no place for the index of the log.
            connection = self._checked("ro&immutable=1")
        with closing(connection):
            yield connection

    def _checked(self, mode: str) -> sqlite3.Connection:
        """Open the file and see that its tables can be read, as far as this version knows them."""
        connection = self._connect(mode)
        try:
            version = version_of(connection)
            if version != VERSION:
                show_as_known(connection)
            return connection
        except BaseException:
            connection.close()
            raise

    def _connect(self, mode: str) -> sqlite3.Connection:
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(address, timeout=_BUSY_TIMEOUT_SECONDS, uri=True)
        connection.row_factory = sqlite3.Row
        connection.text_factory = _decode
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = version_of(connection)
        if version == VERSION:
            return
        if version > VERSION:
            raise self._newer(version)
        check_own(connection)
        _write_ahead(connection)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            bring_to_this_format(connection)

    def _newer(self, version: int) -> HistoryUnusable:
        return HistoryUnusable(
            self.path,
            "written",
            f"a newer MemoryMark wrote it (format {version}; this one knows {VERSION}). Its runs "
            "are listed as far as this version knows them, and new ones are not saved",
            _UPDATE,
        )

    @contextmanager
    def _said(self, verb: str) -> Iterator[None]:
        """Say in a sentence what goes wrong in a block."""
        try:
            yield
        except (OSError, sqlite3.DatabaseError) as error:
            raise HistoryUnusable(self.path, verb, *_reason(self.path, error)) from error


def _reason(path: Path, error: Exception) -> tuple[str, str]:
    """Return what is wrong, and what to do."""
    code = _code(error)
    if os.path.isdir(path):
        return "it is a folder", _MOVE_ASIDE
    if code in _DAMAGED:
        return f"it is damaged, or no run history ({error})", _MOVE_ASIDE
    if code in _FULL or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return f"its disk is full or fails ({error})", "Free space on it"
    if code in _READ_ONLY or isinstance(error, PermissionError):
        return f"this user may not open or change it ({error})", _ALLOW
    if code in _BUSY:
        return f"another program has held it for {_BUSY_TIMEOUT_SECONDS:.0f} s", "Try again"
    return str(error), _MOVE_ASIDE if isinstance(error, sqlite3.DatabaseError) else ""


def _code(error: Exception) -> int:
    """Return SQLite's primary result code; 0 for another error."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _first_there(path: Path) -> Path:
    """Return a path, or else the nearest folder above it that exists."""
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if there != path and not there.is_dir():
        raise NotADirectoryError(f"{there} is a file, not a folder")
    return there


def _empty() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        make_empty(connection)
        yield connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead mode; SQLite does not wait for others who do so at the same moment."""
    until = time.monotonic() + _BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _code(error) not in _BUSY or time.monotonic() > until:
                raise
            time.sleep(_RETRY_SECONDS)


def _decode(text: bytes) -> str:
    return text.decode(errors="replace")


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0
