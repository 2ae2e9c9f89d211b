"""The run history: every run in one SQLite file, for many threads and processes at once.

A run that is deleted stays aside for a while, so that it can be brought back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memorymark.errors import HistoryUnusable, InvalidRecord, RunDeleted, RunNotFound, quoted
from memorymark.service.history_file import HistoryFile
from memorymark.service.run import (
    INTERRUPTED,
    Run,
    RunStatus,
    begun_run,
    cell_of,
    ended_run,
    object_of,
    run_of,
    written_json,
    written_text,
)
from memorymark.settings import load_settings
from memorymark.units import moment

KEPT_DELETED_SECONDS = 7 * 24 * 3600.0
_LONGEST_TEXT = 500  # letters of a text in a list
_LONGEST_REQUEST = 20_000
_PLAIN = ("run_id", "created_at", "finished_at", "deleted_at")
_TEXTS = ("kind", "status", "model", "device", "source", "owner", "error")
_LONG = ("request", "record")
_SUMMARY = ", ".join(
    [
        *_PLAIN,
        *(f"substr({it}, 1, {_LONGEST_TEXT}) AS {it}" for it in _TEXTS),
        f"CASE WHEN length(request) <= {_LONGEST_REQUEST} THEN request END AS request",
    ]
)
_WHOLE = ", ".join([*_PLAIN, *_TEXTS, *_LONG])
_KEPT = (*_PLAIN[:-1], *_TEXTS, *_LONG)  # a run that is written again stays deleted
_KEEP = (
    f"INSERT INTO runs ({', '.join(_KEPT)}) VALUES ({', '.join('?' * len(_KEPT))})"
    f" ON CONFLICT (run_id) DO UPDATE SET {', '.join(f'{it} = excluded.{it}' for it in _KEPT[1:])}"
)
_ACTIVE = tuple(status for status in RunStatus if status.is_active)


def new_run_id() -> str:
    """Return a new short name for a run."""
    return secrets.token_hex(4)


class RunHistory:
    """Saves, lists, opens, finds, exports and deletes runs.

    All of it raises HistoryUnusable, with a sentence for the user, where the file does not allow
    it. A history that nobody wrote to has no file yet, and holds no runs.

    Args:
        path: The SQLite file; None takes the one of the settings (MEMORYMARK_HOME). The locks of
            those who work on runs lie beside it.

    Example:
        >>> import tempfile
        >>> history = RunHistory(Path(tempfile.mkdtemp()) / "runs.sqlite3")
        >>> run_id = history.save("analysis", {"model_name": "bert"})
        >>> history.open(run_id).record["model_name"]
        'bert'
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or load_settings().history_path
        self._file = HistoryFile(self.path)

    def problem(self) -> HistoryUnusable | None:
        """Return why the history cannot be read or written, where that shows without writing."""
        return self._file.problem()

    def move_aside(self) -> Path | None:
        """Begin a new history; return where the old one is kept, None where there was none."""
        return self._file.move_aside()

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
        begun = begun_run(run_id, kind, request or {}, RunStatus.RUNNING)
        self.keep(ended_run(begun, RunStatus.DONE, record=record))
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
        self.keep(begun_run(run_id, kind, request, status, device, owner))

    def keep(self, run: Run) -> None:
        """Write a whole run, over what was noted of it before."""
        with self._file.writing() as connection:
            connection.execute(_KEEP, [cell_of(getattr(run, name)) for name in _KEPT])

    def set_status(self, run_id: str, status: RunStatus) -> None:
        """Note where a run stands."""
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE runs SET status = ? WHERE run_id = ?", (str(status), written_text(run_id))
            )

    def finish(
        self,
        run_id: str,
        status: RunStatus,
        *,
        record: dict[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        """Note how a run ended, with its result in one transaction; nothing where none began."""
        try:
            begun = self._read(run_id, _WHOLE.replace(", record", ""))
        except RunNotFound:
            return
        self.keep(ended_run(begun, status, record=record, error=error))

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
        """Find runs by a piece of their id, model or device, newest first, without records.

        Args:
            text: What the run's id, model or device contains.
            kinds: The kinds to find; None finds all.
            statuses: The statuses to find, as they were written; None finds all.
            limit: The most runs to return.
        """
        clauses, values = ["deleted_at IS NULL"], []
        if text:
            clauses.append("instr(lower(run_id||' '||ifnull(model,'')||' '||ifnull(device,'')), ?)")
            values.append(written_text(text.lower()))
        for column, accepted in (("kind", kinds), ("status", statuses)):
            if accepted is not None:
                clauses.append(f"{column} IN ({', '.join('?' * len(accepted))})")
                values.extend(str(name) for name in accepted)
        where = f"{' AND '.join(clauses)} ORDER BY created_at DESC, rowid DESC"
        return self._some(where, *values, limit)

    def deleted(self, *, limit: int = 200) -> list[Run]:
        """List the deleted runs that can be brought back, the last deleted first."""
        return self._some("deleted_at > ? ORDER BY deleted_at DESC", _oldest_kept(), limit)

    def open(self, run_id: str) -> Run:
        """Return a run with its request and its record.

        Raises:
            RunNotFound: There is no such run, or it was deleted.
            InvalidRecord: What is kept of it is damaged.
        """
        return self._one(run_id, _WHOLE)

    def summary(self, run_id: str) -> Run:
        """Return a run without its record, which may be damaged.

        Raises:
            RunNotFound: There is no such run, or it was deleted.
        """
        return self._one(run_id, _SUMMARY)

    def export(self, run_id: str) -> str:
        """Return a run's record as a JSON document.

        Raises:
            RunNotFound: There is no such run, or it was deleted.
        """
        return json.dumps(self.open(run_id).record, indent=2, allow_nan=False)

    def delete(self, run_id: str) -> None:
        """Put a run aside; it can be brought back for KEPT_DELETED_SECONDS.

        Raises:
            RunNotFound: There is no such run, or it was deleted before.
        """
        self.summary(run_id)
        self._set_deleted(run_id, time.time())

    def undelete(self, run_id: str) -> None:
        """Bring a deleted run back.

        Raises:
            RunNotFound: There is no such run, or no longer.
        """
        if not self._set_deleted(run_id, None):
            raise _not_found(run_id)

    def tidy(self) -> None:
        """Note which active runs were interrupted, and drop what was deleted long ago."""
        if not self.path.exists():
            return
        active = self.find(statuses=_ACTIVE, limit=10_000)
        ended = [run for run in active if run.status is RunStatus.INTERRUPTED]
        with self._file.writing() as connection:
            connection.execute("DELETE FROM runs WHERE deleted_at <= ?", (_oldest_kept(),))
            connection.executemany(
                "UPDATE runs SET status = ?, error = ?, finished_at = ?"
                " WHERE run_id = ? AND status IN (?, ?)",
                [(str(run.status), run.error, time.time(), run.run_id, *_ACTIVE) for run in ended],
            )

    def add_event(self, run_id: str, position: int, event: dict[str, Any]) -> None:
        """Append an event to a run's stream; to none where the file does not hold the run."""
        name = written_text(run_id)
        with self._file.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO events"
                " SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM runs WHERE run_id = ?)",
                (name, position, written_json(event), name),
            )

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """Return a run's event stream in order, without what is damaged of it."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT event FROM events JOIN runs USING (run_id)"
                " WHERE run_id = ? AND deleted_at IS NULL ORDER BY position",
                (written_text(run_id),),
            ).fetchall()
        found = []
        for row in rows:
            with contextlib.suppress(InvalidRecord):
                found.append(object_of(row["event"], "event"))
        return found

    def _some(self, where: str, *values: Any) -> list[Run]:
        with self._file.reading() as connection:
            sql = f"SELECT {_SUMMARY} FROM runs WHERE {where} LIMIT ?"
            return [self._as_it_stands(run_of(row)) for row in connection.execute(sql, values)]

    def _one(self, run_id: str, columns: str) -> Run:
        return self._as_it_stands(self._read(run_id, columns))

    def _read(self, run_id: str, columns: str) -> Run:
        with self._file.reading() as connection:
            sql = f"SELECT {columns} FROM runs WHERE run_id = ?"
            row = connection.execute(sql, (written_text(run_id),)).fetchone()
        if row is None:
            raise _not_found(run_id)
        if row["deleted_at"] is not None:
            raise _deleted(run_of({**row, "record": None}))
        return run_of(row)

    def _as_it_stands(self, run: Run) -> Run:
        """Return an active run as interrupted where nobody works on it any more."""
        if not run.status.is_active:
            return run
        from memorymark.probes.lease import owner_lives  # a list without such runs does without

        if owner_lives(self.path.parent / "locks", run.owner):
            return run
        return dataclasses.replace(run, status=RunStatus.INTERRUPTED, error=INTERRUPTED)

    def _set_deleted(self, run_id: str, at: float | None) -> bool:
        with self._file.writing() as connection:
            connection.execute("DELETE FROM runs WHERE deleted_at <= ?", (_oldest_kept(),))
            changed = connection.execute(
                "UPDATE runs SET deleted_at = ? WHERE run_id = ?", (at, written_text(run_id))
            )
            return changed.rowcount > 0


def _oldest_kept() -> float:
    return time.time() - KEPT_DELETED_SECONDS


def _not_found(run_id: str) -> RunNotFound:
    return RunNotFound(
        f"There is no run {quoted(run_id)} in this history. "
        "`memorymark runs` and the page Runs list the available runs."
    )


def _deleted(run: Run) -> RunDeleted:
    until = (run.deleted_at or 0.0) + KEPT_DELETED_SECONDS
    return RunDeleted(
        f"There is no run {run.run_id!r} in this history any more: it was deleted on "
        f"{moment(run.deleted_at)}. The page Runs brings it back until {moment(until)}."
    )
