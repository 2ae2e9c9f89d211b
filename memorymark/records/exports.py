"""An analysis in forms that other programs take: CSV, JSON, and the command that repeats it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shlex
from collections.abc import Iterable
from typing import Any

from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import CATEGORIES, Trial

_COLUMNS = (
    "batch_size", "outcome", "stage", "source", "device", "peak_allocated_bytes",
    "peak_reserved_bytes", "process_bytes", "capacity_bytes", "minimum_bytes", *CATEGORIES,
    "step_seconds", "samples_per_second", "elapsed_seconds", "thrashing", "error",
)  # fmt: skip
_FLAGS = {
    "gradient_checkpointing": "--gradient-checkpointing",
    "channels_last": "--channels-last",
}
_NOT_OPTIONS = ("dropout", "compile", *_FLAGS)
_ANALYSIS_OPTIONS = {
    "current_batch_size": "--current-batch-size",
    "price_per_hour": "--price",
    "dataset_size": "--dataset-size",
    "epochs": "--epochs",
    "runs_per_year": "--runs-per-year",
    "objective": "--objective",
    "granularity": "--granularity",
    "headroom": "--headroom",
    "max_batch_size": "--max-batch-size",
}


def to_json(record: Any) -> str:
    """Write a record with `to_dict` as one JSON document; numbers that are not finite are null."""
    return json.dumps(_finite(record.to_dict()), indent=2, allow_nan=False)


def trials_csv(trials: Iterable[Trial]) -> str:
    """Write trials as CSV, one a line, smallest batch first; unknown values are empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for trial in sorted(trials, key=lambda trial: trial.batch_size):
        values = trial.to_dict()
        writer.writerow({**values, **(values["breakdown"] or {})})
    return out.getvalue()


def command_line(analysis: Analysis, memory_budget_bytes: int | None = None) -> str:
    """Write the command that runs the same analysis; options at their defaults are left out.

    Args:
        analysis: The analysis to repeat.
        memory_budget_bytes: The budget that was set, if one was; on the CPU it is known.
    """
    words = ["memorymark", "analyze", analysis.workload, *_target_words(analysis)]
    if analysis.target.kind == "cpu":
        memory_budget_bytes = memory_budget_bytes or analysis.capacity_bytes
    if memory_budget_bytes is not None:
        words += ["--memory-budget", str(memory_budget_bytes)]
    words += config_words(analysis.config)
    words += options_words(analysis.options)
    return shlex.join(words)


def config_words(config: TrainingConfig) -> list[str]:
    """Return the options that describe a training, those at their defaults left out."""
    default = TrainingConfig()
    words: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in _NOT_OPTIONS or value == getattr(default, field.name):
            continue
        words += [f"--{field.name.replace('_', '-')}", str(value)]
    words += [flag for name, flag in _FLAGS.items() if getattr(config, name)]
    return words if config.dropout else [*words, "--no-dropout"]


def _target_words(analysis: Analysis) -> list[str]:
    target = analysis.target
    if target.gpu_key is not None and target.kind == "simulated":
        return ["--gpu", target.gpu_key]
    number = f":{target.index}" if target.index else ""
    return ["--device", f"{target.kind}{number}"]


def options_words(options: AnalysisOptions) -> list[str]:
    """Return the options of an analysis, those at their defaults left out."""
    default = AnalysisOptions()
    words: list[str] = []
    for name, word in _ANALYSIS_OPTIONS.items():
        value = getattr(options, name)
        if value is not None and value != getattr(default, name):
            words += [word, str(value)]
    return words


def _finite(value: Any) -> Any:
    """Replace what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
