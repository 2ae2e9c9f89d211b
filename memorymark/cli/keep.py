"""Saves the results of commands in the run history, beside the runs of the app."""

from __future__ import annotations

import sqlite3

from rich.console import Console

from memorymark.cli.output import Record
from memorymark.records.request import Request
from memorymark.service.history import RunHistory


def keep(request: Request, record: Record) -> None:
    """Save a result; where the history cannot be written, warn and go on."""
    try:
        RunHistory().save(str(request.kind), record.to_dict(), request=request.to_dict())
    except (OSError, sqlite3.Error) as error:
        sentence = f"Warning: this run was not saved; the run history cannot be written: {error}."
        Console(stderr=True, highlight=False).print(sentence, markup=False, soft_wrap=True)
