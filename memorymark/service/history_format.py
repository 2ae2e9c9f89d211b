"""The tables of the run history, and what became of them from version to version."""

from __future__ import annotations

import sqlite3

VERSION = 1  # of the format, in the file's `user_version`; MemoryMark 0.1.0 wrote 0
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, kind TEXT NOT NULL, status TEXT NOT NULL,
    model TEXT, device TEXT, source TEXT, owner TEXT,
    created_at REAL NOT NULL, finished_at REAL,
    request TEXT, record TEXT, error TEXT)""",
    "CREATE INDEX IF NOT EXISTS runs_by_time ON runs (created_at)",
    """CREATE TABLE IF NOT EXISTS events (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, position INTEGER NOT NULL,
    event TEXT NOT NULL, PRIMARY KEY (run_id, position))""",
)
_DELETED_INDEX = """CREATE INDEX IF NOT EXISTS runs_deleted ON runs (deleted_at)
    WHERE deleted_at IS NOT NULL"""
_ADDED = {"deleted_at": "REAL"}  # columns of `runs` since format 0
_COLUMNS = (
    "run_id", "kind", "status", "model", "device", "source", "owner", "created_at", "finished_at",
    "request", "record", "error", *_ADDED,
)  # fmt: skip


def bring_to_this_format(connection: sqlite3.Connection) -> None:
    """Make the tables, or add what they lack; within a transaction that holds the file."""
    if version_of(connection) == VERSION:
        return  # another process was faster
    for statement in _SCHEMA:
        connection.execute(statement)
    there = _columns(connection)
    for name, kind in _ADDED.items():
        if name not in there:
            connection.execute(f"ALTER TABLE runs ADD COLUMN {name} {kind}")
    connection.execute(_DELETED_INDEX)
    connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM runs LIMIT 0")  # it has all of them
    connection.execute(f"PRAGMA user_version = {VERSION}")


def make_empty(connection: sqlite3.Connection) -> None:
    """Give a connection a history without runs, which no file holds."""
    connection.execute(f"CREATE TEMP TABLE runs ({', '.join(_COLUMNS)})")
    connection.execute("CREATE TEMP TABLE events (run_id, position, event)")


def show_as_known(connection: sqlite3.Connection) -> None:
    """Put a view over tables of another format: a column that is missing there is NULL."""
    connection.execute("PRAGMA temp_store = MEMORY")
    check_own(connection)
    there = _columns(connection)
    if not there and version_of(connection) < VERSION:
        make_empty(connection)
        return
    columns = (name if name in there else f"NULL AS {name}" for name in _COLUMNS)
    selected = ", ".join(["rowid AS rowid", *columns])
    connection.execute(f"CREATE TEMP VIEW runs AS SELECT {selected} FROM main.runs")


def check_own(connection: sqlite3.Connection) -> None:
    """Leave a database alone that holds other tables than a run history's."""
    names = [row[0] for row in connection.execute("SELECT name FROM main.sqlite_master")]
    if names and "run_id" not in _columns(connection):
        raise sqlite3.DatabaseError(f"it holds another program's data, such as {names[0]}")


def version_of(connection: sqlite3.Connection) -> int:
    """Return the format of the file."""
    return connection.execute("PRAGMA main.user_version").fetchone()[0]


def _columns(connection: sqlite3.Connection) -> set[str]:
    return {row["name"] for row in connection.execute("PRAGMA main.table_info(runs)")}
