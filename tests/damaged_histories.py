"""Files of a run history as a bad day leaves them, and rows that no version wrote."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from memorymark.service.history import RunHistory

NOBODY = 65534


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def truncated(path: Path) -> None:
    history = RunHistory(path)
    for _ in range(8):
        history.save("analysis", {"model_name": "bert", "filling": "x" * 50_000})
    os.truncate(path, 8192)


def folder(path: Path) -> None:
    path.mkdir()


def other_program(path: Path) -> None:
    execute(path, "CREATE TABLE songs (title TEXT)")


DAMAGES: dict[str, Callable[[Path], None]] = {
    each.__name__: each for each in (garbage, truncated, folder, other_program)
}


def newer(path: Path) -> str:
    """Make a history as a later version may: a higher format, columns more and fewer."""
    run_id = RunHistory(path).save("analysis", {"model_name": "bert"})
    execute(path, "ALTER TABLE runs ADD COLUMN mood TEXT")
    execute(path, "ALTER TABLE runs DROP COLUMN source")
    execute(path, "PRAGMA user_version = 1000")
    return run_id


ODD = "odd"
ODD_ROWS = {
    "an unknown status": "status = 'pondering'",
    "a number for a model": "model = 12.5",
    "bytes for a model": "model = x'ff00fe'",
    "bytes for a status": "status = x'00'",
    "a time beyond all calendars": "created_at = 1e300, finished_at = -1e300",
    "a time that is infinite": "created_at = 9e999",
    "words for a time": "created_at = 'yesterday'",
    "bytes for a time": "created_at = x'ffff'",
    "a kind of another version": "kind = 'levers'",
    "a kind of bytes": "kind = x'ff'",
    "text that is no Unicode": "device = CAST(x'c328ff' AS TEXT)",
    "a model of a million letters": f"model = printf('%.*c', {10**6}, 'x')",
    "an error of a million letters": f"status = 'failed', error = printf('%.*c', {10**6}, 'x')",
    "a zero in a text": "model = 'a' || char(0) || 'b'",
    "a record that breaks off": "record = '{\"model_name\": '",
    "a record of bytes": "record = x'ff00'",
    "a record that is a list": "record = '[1]'",
    "a record of numbers that JSON has not": 'record = \'{"trials": NaN, "marks": 1e999}\'',
    "a record nested deeply": f"record = printf('%.*c', {10**5}, '[')",
    "a record of another kind": 'record = \'{"verdict": "PASS"}\'',
    "a request that breaks off": "request = '{'",
    "a request that is a number": "request = '7'",
    "an owner that is a path": "status = 'running', owner = '../../../etc/passwd'",
    "an owner without end": f"status = 'running', owner = printf('%.*c', {10**5}, 'x')",
}


def make_odd(path: Path, change: str) -> str:
    """Save two runs, and make one of them odd; return the id of the other one."""
    history = RunHistory(path)
    history.save("analysis", {"model_name": "bert"}, run_id=ODD)
    history.add_event(ODD, 0, {"kind": "note", "text": "said"})
    whole = history.save("analysis", {"model_name": "whole"})
    execute(path, f"UPDATE runs SET {change} WHERE run_id = '{ODD}'")
    return whole


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow: the operating system refuses, as on a full disk."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)


@contextlib.contextmanager
def read_only_home() -> Iterator[Path]:
    """A home with one run that this user may read and not write; root becomes nobody meanwhile.

    The rights are the operating system's own.
    """
    home = Path(tempfile.mkdtemp())
    try:
        RunHistory(home / "runs.sqlite3").save("analysis", {"model_name": "bert"})
        (home / "runs.sqlite3").chmod(0o444)
        home.chmod(0o555)
        with _unprivileged():
            yield home
    finally:
        home.chmod(0o755)
        shutil.rmtree(home)


@contextlib.contextmanager
def _unprivileged() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
