"""Exports for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memorymark.records.comparison import ComparedGpu, Comparison
from memorymark.records.held_memory import CATEGORIES
from memorymark.records.training_comparison import TrainingComparison
from memorymark.records.training_run import TrainingRun
from memorymark.records.trial import Trial
from memorymark.report.visible import visible

_COLUMNS = (
    "batch_size", "outcome", "stage", "source", "device", "peak_allocated_bytes",
    "peak_reserved_bytes", "peak_reserved_low_bytes", "peak_reserved_high_bytes",
    "process_bytes", "capacity_bytes", "minimum_bytes", *CATEGORIES,
    "step_seconds", "step_seconds_low", "step_seconds_high", "samples_per_second",
    "elapsed_seconds", "thrashing", "error", "model",
    "settings",
)  # fmt: skip
BANDED_COSTS = ("usd_per_million_samples", "usd_per_run", "hours_per_run", "usd_per_year")
"""Costs that go with an estimated throughput, and so have a band."""

_COMPARED = (
    "gpu", "name", "source", "run_id", "max_batch_size", "optimal_batch_size", "memory_bytes",
    "capacity_bytes", "samples_per_second", "samples_per_second_low", "samples_per_second_high",
    "usd_per_hour", "price_source", "price_observed_at",
    "usd_per_million_samples", "usd_per_run", "hours_per_run", "usd_per_year",
    *(f"{name}_{end}" for name in BANDED_COSTS for end in ("low", "high")), "efficient",
    "model", "settings",
)  # fmt: skip
_STEPS = (
    "step", "seconds", "loss", "learning_rate", "per_second", "memory_bytes", "eval_loss", "sample",
)  # fmt: skip
_FORMULA_SIGNS = ("=", "+", "-", "@")


def trials_csv(trials: Iterable[Trial], settings: str = "") -> str:
    """Write trials as CSV, one a line, smallest batch first; unknown values are empty.

    Args:
        trials: The trials.
        settings: What they are of, in one phrase. It stands in each line, in the last column: a
            line of its own above the names would be read as the names.
    """
    rows = []
    for trial in sorted(trials, key=lambda trial: trial.batch_size):
        values = trial.to_dict()
        rows.append({**values, **(values["breakdown"] or {}), "settings": settings})
    return _csv(_COLUMNS, rows)


def comparison_csv(comparison: Comparison, settings: str) -> str:
    """Write a comparison as CSV, one GPU a line, cheapest first; unknown values are empty."""
    rows = []
    for gpu, values in zip(comparison.gpus, comparison.to_dict()["gpus"], strict=True):
        row = {**values, **values["cost"], "model": comparison.model_name, "settings": settings}
        rows.append({**row, **_cost_bands(gpu)})
    return _csv(_COMPARED, rows)


def steps_csv(run: TrainingRun) -> str:
    """Write the steps and evaluations that a training's record holds as CSV, in their order."""
    rows: list[dict[str, Any]] = [each.to_dict() for each in run.curve]
    for each in run.evaluations:
        rows.append({"step": each.step, "seconds": each.seconds, "eval_loss": each.loss,
                     "sample": each.sample})  # fmt: skip
    rows.sort(key=lambda row: (row["step"], "eval_loss" in row))
    return _csv(_STEPS, rows)


def kept_steps_csv(written: str) -> str:
    """Return the file of a training's figures as a spreadsheet takes it: samples are text."""
    return _csv(_STEPS, csv.DictReader(io.StringIO(written)))


def trainings_csv(found: TrainingComparison) -> str:
    """Write the steps and evaluations of compared trainings as CSV."""
    rows = list(found.rows())
    return _csv(list(rows[0]) if rows else _STEPS, rows)


def _cost_bands(gpu: ComparedGpu) -> dict[str, float]:
    bands = {name: gpu.likely(getattr(gpu.cost, name)) for name in BANDED_COSTS}
    known = {name: band for name, band in bands.items() if band is not None}
    low = {f"{name}_low": band[0] for name, band in known.items()}
    return low | {f"{name}_high": band[1] for name, band in known.items()}


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def _cell(value: Any) -> Any:
    """Return text as a spreadsheet takes it for text: it would run a name such as "=cmd|…"."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA_SIGNS) else text
