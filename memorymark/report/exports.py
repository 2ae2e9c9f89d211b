"""Exports for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from memorymark.records.trial import CATEGORIES, Trial

_COLUMNS = (
    "batch_size", "outcome", "stage", "source", "device", "peak_allocated_bytes",
    "peak_reserved_bytes", "peak_reserved_low_bytes", "peak_reserved_high_bytes",
    "process_bytes", "capacity_bytes", "minimum_bytes", *CATEGORIES,
    "step_seconds", "samples_per_second", "elapsed_seconds", "thrashing", "error",
)  # fmt: skip


def trials_csv(trials: Iterable[Trial]) -> str:
    """Write trials as CSV, one a line, smallest batch first; unknown values are empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for trial in sorted(trials, key=lambda trial: trial.batch_size):
        values = trial.to_dict()
        writer.writerow({**values, **(values["breakdown"] or {})})
    return out.getvalue()
