"""Keeps what the commands found in the run history, beside the runs of the app."""

from __future__ import annotations

import sqlite3
from typing import Any

from rich.console import Console

from memorymark.cli.output import Record
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.request import Request
from memorymark.service.history import RunHistory


def keep(request: Request, record: Record) -> None:
    """Save a result; a history that cannot be written costs a warning, not the result."""
    try:
        RunHistory().save(str(request.kind), record.to_dict(), request=request.to_dict())
    except (OSError, sqlite3.Error) as error:
        sentence = f"Warning: this run is not in the history, which cannot be written: {error}."
        Console(stderr=True, highlight=False).print(sentence, markup=False, soft_wrap=True)


def changed_options(options: AnalysisOptions) -> dict[str, Any]:
    """Return the options that differ from their defaults."""
    default = AnalysisOptions().to_dict()
    return {name: value for name, value in options.to_dict().items() if value != default[name]}
