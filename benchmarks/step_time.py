"""Scores the simulator's estimate of a step's seconds against measured steps."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from rows import Row, model_of

import memorymark
from memorymark.errors import MemoryMarkError
from memorymark.gpus.catalogue import find_gpu_by_device_name


@dataclass(frozen=True)
class StepTime:
    """One measured step beside its estimate.

    Attributes:
        id: The row's name.
        model: The workload's name.
        measured_seconds: The median measured step.
        estimated_seconds: From the card's peak rates.
    """

    id: str
    model: str
    measured_seconds: float
    estimated_seconds: float

    @property
    def error(self) -> float:
        """Estimated over measured, less one."""
        return self.estimated_seconds / self.measured_seconds - 1


def step_times(rows: Iterable[Row]) -> list[StepTime]:
    """Return the steps of rows whose card is in the catalogue, one for each measured run."""
    timed = (row for row in rows if row.step_seconds and row.metric == "allocated")
    return [found for row in timed if (found := _step_time(row)) is not None]


def _step_time(row: Row) -> StepTime | None:
    gpu = find_gpu_by_device_name(row.gpu)
    if gpu is None or row.step_seconds is None:
        return None
    try:
        trial = memorymark.estimate(
            model_of(row.model), row.config, batch_size=row.batch_size, gpu=gpu.key
        )
    except MemoryMarkError:
        return None
    if not trial.step_seconds:
        return None
    return StepTime(row.id, row.model, row.step_seconds, trial.step_seconds)


def summarize(times: Iterable[StepTime]) -> dict[str, dict[str, float | int]]:
    """Return count, median signed and median absolute error, and the worst, by model."""
    models: dict[str, list[float]] = {}
    for item in times:
        models.setdefault(item.model, []).append(item.error)
    return {
        model: {
            "steps": len(errors),
            "median_signed_error": statistics.median(errors),
            "median_error": statistics.median(abs(error) for error in errors),
            "worst_error": max(errors, key=abs),
        }
        for model, errors in models.items()
    }
