"""Exports for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from memorymark.records.trial import CATEGORIES, Trial
from memorymark.report.visible import visible

_COLUMNS = (
    "batch_size", "outcome", "stage", "source", "device", "peak_allocated_bytes",
    "peak_reserved_bytes", "peak_reserved_low_bytes", "peak_reserved_high_bytes",
    "process_bytes", "capacity_bytes", "minimum_bytes", *CATEGORIES,
    "step_seconds", "samples_per_second", "elapsed_seconds", "thrashing", "error",
)  # fmt: skip
_FORMULA_SIGNS = ("=", "+", "-", "@")


def trials_csv(trials: Iterable[Trial]) -> str:
    """Write trials as CSV, one a line, smallest batch first; unknown values are empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for trial in sorted(trials, key=lambda trial: trial.batch_size):
        values = trial.to_dict()
        row = {**values, **(values["breakdown"] or {})}
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def _cell(value: Any) -> Any:
    """Return text as a spreadsheet takes it for text: it would run a name such as "=cmd|…"."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA_SIGNS) else text
