"""The run history of the app: a run that cannot be written is kept in memory meanwhile.

Work goes on where the history is read-only, its disk full or its file damaged. The pages show
the results from memory and say that they are not saved; the next write that succeeds saves them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memorymark.errors import HistoryUnusable
from memorymark.service.history import RunHistory
from memorymark.service.run import Run, RunStatus, ended_run

MOST_UNSAVED = 50
_log = logging.getLogger(__name__)


class AppHistory(RunHistory):
    """A run history that always takes what a job has to note.

    Args:
        path: The SQLite file; None takes the one of the settings.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path)
        self._writing = threading.RLock()  # one write at a time, so that none overtakes another
        self._begun: dict[str, Run] = {}
        self._unsaved: dict[str, Run] = {}
        self._failure: HistoryUnusable | None = None
        self._retry: threading.Thread | None = None

    @property
    def unsaved(self) -> tuple[Run, ...]:
        """The runs that are in memory only, newest first."""
        return tuple(reversed(self._unsaved.copy().values()))

    def problem(self) -> HistoryUnusable | None:
        """Return why the history cannot be read or written, as far as is known now.

        Where only writing failed, it is tried again beside the page that asks, which may take
        its time: the file may be in order by now, and what is in memory shall not wait for a run.
        """
        problem = super().problem()
        if problem is None and self._failure is not None:
            self._try_again()
        return problem or self._failure

    def keep(self, run: Run) -> None:
        """Write a whole run, or keep it in memory until it can be written."""
        with self._writing:
            if run.status.is_active:
                self._begun[run.run_id] = run
            else:
                self._begun.pop(run.run_id, None)
            self._unsaved.pop(run.run_id, None)
            self._unsaved[run.run_id] = run
            self._save_waiting()

    def set_status(self, run_id: str, status: RunStatus) -> None:
        """Note where a run stands."""
        with self._writing:
            begun = self._begun.get(run_id)
            if begun is None:
                super().set_status(run_id, status)
            else:
                self.keep(dataclasses.replace(begun, status=status))

    def finish(
        self,
        run_id: str,
        status: RunStatus,
        *,
        record: dict[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        """Note how a run ended; of one that was begun here, even where its row is gone."""
        with self._writing:
            begun = self._begun.get(run_id)
            if begun is None:
                super().finish(run_id, status, record=record, error=error)
            else:
                self.keep(ended_run(begun, status, record=record, error=error))

    def find(
        self,
        *,
        text: str = "",
        kinds: Sequence[str] | None = None,
        statuses: Sequence[RunStatus] | None = None,
        limit: int = 200,
    ) -> list[Run]:
        """Find runs, those in memory among them; where the file cannot be read, only those."""
        unsaved = {run.run_id: dataclasses.replace(run, record=None) for run in self.unsaved}
        found = [
            run
            for run in unsaved.values()
            if text.lower() in f"{run.run_id} {run.model or ''} {run.device or ''}".lower()
            and (kinds is None or run.kind in kinds)
            and (statuses is None or run.status in statuses)
        ]
        with contextlib.suppress(HistoryUnusable):
            saved = super().find(text=text, kinds=kinds, statuses=statuses, limit=limit)
            found += [run for run in saved if run.run_id not in unsaved]
        return sorted(found, key=lambda run: run.created_at or 0.0, reverse=True)[:limit]

    def deleted(self, *, limit: int = 200) -> list[Run]:
        """List the deleted runs that can be brought back; none where the file cannot be read."""
        with contextlib.suppress(HistoryUnusable):
            return super().deleted(limit=limit)
        return []

    def tidy(self) -> None:
        """Note which active runs were interrupted, and drop what was deleted long ago."""
        with contextlib.suppress(HistoryUnusable):
            super().tidy()

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """Return a run's event stream; none where the file cannot be read."""
        with contextlib.suppress(HistoryUnusable):
            return super().events(run_id)
        return []

    def _one(self, run_id: str, columns: str) -> Run:
        return self._unsaved.get(run_id) or super()._one(run_id, columns)

    def _as_it_stands(self, run: Run) -> Run:
        return run if run.run_id in self._begun else super()._as_it_stands(run)

    def _try_again(self) -> None:
        if self._retry is None or not self._retry.is_alive():
            self._retry = threading.Thread(
                target=self._save_waiting, name="memorymark-unsaved", daemon=True
            )
            self._retry.start()

    def _save_waiting(self) -> None:
        """Write what is in memory only, as far as the file allows it now."""
        with self._writing:
            self._save_all()

    def _save_all(self) -> None:
        try:
            for run in list(self._unsaved.values()):
                super().keep(run)
                del self._unsaved[run.run_id]
            self._failure = None
        except HistoryUnusable as error:
            if str(error) != str(self._failure):
                _log.warning("%s", error)
            self._failure = error
        ended = [run_id for run_id, run in self._unsaved.items() if not run.status.is_active]
        for run_id in ended[:-MOST_UNSAVED]:
            del self._unsaved[run_id]
