"""The run history: every run in one SQLite file, for many threads and processes at once.

Each operation opens its own connection, so a history can be shared freely. The file is in
write-ahead mode: readers do not wait for a writer.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from memorymark.errors import RunNotFound
from memorymark.records.codec import parse_json
from memorymark.settings import load_settings

_BUSY_TIMEOUT_SECONDS = 30
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, kind TEXT NOT NULL, status TEXT NOT NULL,
    model TEXT, device TEXT, source TEXT, owner TEXT,
    created_at REAL NOT NULL, finished_at REAL,
    request TEXT, record TEXT, error TEXT);
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (created_at);
CREATE TABLE IF NOT EXISTS events (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, position INTEGER NOT NULL,
    event TEXT NOT NULL, PRIMARY KEY (run_id, position));
"""
_SUMMARY = "run_id, kind, status, model, device, source, owner, created_at, finished_at, error"


class RunStatus(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_active(self) -> bool:
        """Whether the run waits or works."""
        return self in (RunStatus.QUEUED, RunStatus.RUNNING)


@dataclass(frozen=True)
class Run:
    """A run as the history holds it.

    Attributes:
        run_id: Short name, used in links.
        kind: analysis, backward, compile or comparison.
        status: Where it stands.
        model: Name of the model.
        device: Name of the device, measured or simulated.
        source: measured or simulated; None where not known yet.
        owner: Name of the job manager that runs it, where one does.
        created_at: Seconds since the epoch.
        finished_at: Seconds since the epoch; None while it is active.
        error: The sentence of the error, where it failed.
        request: What was asked for; None in a list.
        record: The result as its JSON; None in a list, or where there is none.
    """

    run_id: str
    kind: str
    status: RunStatus
    model: str | None
    device: str | None
    source: str | None
    owner: str | None
    created_at: float
    finished_at: float | None
    error: str | None
    request: dict[str, Any] | None = None
    record: dict[str, Any] | None = None


def new_run_id() -> str:
    """Return a new short name for a run."""
    return secrets.token_hex(4)


class RunHistory:
    """Saves, lists, opens, finds, exports and deletes runs.

    Args:
        path: The SQLite file; None takes the one of the settings (MEMORYMARK_HOME).

    Example:
        >>> import tempfile
        >>> history = RunHistory(Path(tempfile.mkdtemp()) / "runs.sqlite3")
        >>> run_id = history.save("analysis", {"model_name": "bert"})
        >>> history.open(run_id).record["model_name"]
        'bert'
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or load_settings().history_path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._connect() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    def save(
        self,
        kind: str,
        record: dict[str, Any],
        *,
        request: dict[str, Any] | None = None,
        run_id: str | None = None,
    ) -> str:
        """Save a finished run and return its id, which is also written into the record."""
        run_id = run_id or record.get("run_id") or new_run_id()
        self.begin(run_id, kind, request or {}, status=RunStatus.RUNNING)
        self.finish(run_id, RunStatus.DONE, record=record)
        return run_id

    def begin(
        self,
        run_id: str,
        kind: str,
        request: dict[str, Any],
        *,
        status: RunStatus = RunStatus.QUEUED,
        device: str | None = None,
        owner: str | None = None,
    ) -> None:
        """Note a run that has no result yet."""
        row = (run_id, kind, str(status), request.get("model"), device, owner, time.time())
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO runs (run_id, kind, status, model, device, owner, created_at, request)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (run_id) DO UPDATE SET status = excluded.status",
                (*row, json.dumps(request, allow_nan=False)),
            )

    def set_status(self, run_id: str, status: RunStatus) -> None:
        """Note where a run stands."""
        with self._connect() as connection:
            connection.execute("UPDATE runs SET status = ? WHERE run_id = ?", (str(status), run_id))

    def finish(
        self,
        run_id: str,
        status: RunStatus,
        *,
        record: dict[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        """Note how a run ended, with its result in one transaction."""
        if record is not None:
            record = {**record, "run_id": run_id}
        said = record or {}
        model = said.get("model_name") or said.get("model")
        with self._connect() as connection:
            connection.execute(
                "UPDATE runs SET status = ?, finished_at = ?, record = ?, error = ?,"
                " model = coalesce(?, model), device = coalesce(?, device),"
                " source = coalesce(?, source) WHERE run_id = ?",
                (
                    str(status),
                    time.time(),
                    None if record is None else json.dumps(record, allow_nan=False),
                    error,
                    model,
                    said.get("device") or ("several GPUs" if "gpus" in said else None),
                    said.get("source"),
                    run_id,
                ),
            )

    def list(self, kind: str | None = None, *, limit: int = 200) -> list[Run]:
        """List runs without their records, newest first."""
        return self.find(kinds=None if kind is None else [kind], limit=limit)

    def find(
        self,
        *,
        text: str = "",
        kinds: Sequence[str] | None = None,
        statuses: Sequence[RunStatus] | None = None,
        limit: int = 200,
    ) -> list[Run]:
        """Find runs by a piece of their id, model or device, newest first, without records."""
        clauses, values = ["1"], []
        if text:
            clauses.append("instr(lower(run_id||' '||ifnull(model,'')||' '||ifnull(device,'')), ?)")
            values.append(text.lower())
        for column, accepted in (("kind", kinds), ("status", statuses)):
            if accepted is not None:
                clauses.append(f"{column} IN ({', '.join('?' * len(accepted))})")
                values.extend(str(name) for name in accepted)
        sql = f"SELECT {_SUMMARY} FROM runs WHERE {' AND '.join(clauses)}"
        with self._connect() as connection:
            rows = connection.execute(
                f"{sql} ORDER BY created_at DESC, rowid DESC LIMIT ?", (*values, limit)
            )
            return [_run(row) for row in rows]

    def open(self, run_id: str) -> Run:
        """Return a run with its request and its record.

        Raises:
            RunNotFound: There is no such run.
            InvalidRecord: What is kept of it is damaged.
        """
        return self._one(run_id, f"{_SUMMARY}, request, record")

    def summary(self, run_id: str) -> Run:
        """Return a run without its request and its record, which may be damaged.

        Raises:
            RunNotFound: There is no such run.
        """
        return self._one(run_id, _SUMMARY)

    def _one(self, run_id: str, columns: str) -> Run:
        with self._connect() as connection:
            row = connection.execute(
                f"SELECT {columns} FROM runs WHERE run_id = ?", (run_id,)
            ).fetchone()
        if row is None:
            raise RunNotFound(
                f"There is no run {run_id!r} in this history. "
                "`memorymark runs` and the page Runs list the available runs."
            )
        return _run(row)

    def export(self, run_id: str) -> str:
        """Return a run's record as a JSON document.

        Raises:
            RunNotFound: There is no such run.
        """
        return json.dumps(self.open(run_id).record, indent=2, allow_nan=False)

    def delete(self, run_id: str) -> None:
        """Delete a run and its events.

        Raises:
            RunNotFound: There is no such run.
        """
        self.summary(run_id)
        with self._connect() as connection:
            connection.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))

    def add_event(self, run_id: str, position: int, event: dict[str, Any]) -> None:
        """Append an event to a run's stream."""
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO events VALUES (?, ?, ?)",
                (run_id, position, json.dumps(event, allow_nan=False)),
            )

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """Return a run's event stream in order."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT event FROM events WHERE run_id = ? ORDER BY position", (run_id,)
            )
            return [json.loads(row["event"]) for row in rows]

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_SECONDS)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = NORMAL")
            with connection:
                yield connection


def _run(row: sqlite3.Row) -> Run:
    values = dict(row)
    values["status"] = RunStatus(values["status"])
    for key in ("request", "record"):
        if values.get(key) is not None:
            values[key] = parse_json(values[key], f"{key} of run {values['run_id']}")
    return Run(**values)
