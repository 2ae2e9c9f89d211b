"""Every step's figures, a line each: a CSV file that is complete up to the last line."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from memorymark.records.training_run import EvalPoint, StepPoint

FILE = "steps.csv"
_STEP = tuple(field.name for field in dataclasses.fields(StepPoint))
_COLUMNS = (*_STEP, "eval_loss", "sample")


class StepLog:
    """Keeps the figures of steps and evaluations, in memory and in a file.

    Args:
        folder: Where the file is; None keeps none.
        step: Steps that are done: what the file has of later ones is from a run that was ended
            before its next checkpoint, and is written anew.

    Attributes:
        steps: The steps, in order.
        evaluations: The evaluations, in order.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, folder: Path | None, step: int = 0) -> None:
        self.steps: list[StepPoint] = []
        self.evaluations: list[EvalPoint] = []
        self._file = None
        if folder is None:
            return
        path = folder / FILE
        if step and path.exists():
            self._read(path, step)
        beside = path.with_suffix(".new")
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows(self._rows())
        os.replace(beside, path)
        self._file = path.open("a", newline="", encoding="utf-8", buffering=1)
        self._writer = csv.writer(self._file)

    def add(self, point: StepPoint) -> None:
        """Add a step."""
        self.steps.append(point)
        if self._file is not None:
            self._writer.writerow(_step_row(point))

    def add_evaluation(self, point: EvalPoint) -> None:
        """Add an evaluation."""
        self.evaluations.append(point)
        if self._file is not None:
            self._writer.writerow(_eval_row(point))

    def mean_loss(self, count: int) -> float | None:
        """Return the mean loss of so many of the last steps."""
        last = self.steps[-count:]
        return sum(point.loss for point in last) / len(last) if last else None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _rows(self) -> Iterator[list[object]]:
        yield from (_eval_row(each) for each in self.evaluations if each.step == 0)
        by_step: dict[int, list[EvalPoint]] = {}
        for each in self.evaluations:
            by_step.setdefault(each.step, []).append(each)
        for point in self.steps:
            yield _step_row(point)
            yield from (_eval_row(each) for each in by_step.get(point.step, ()))

    def _read(self, path: Path, until: int) -> None:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                try:
                    self._take(row, until)
                except (KeyError, TypeError, ValueError):
                    return  # a line that was cut off where the process ended

    def _take(self, row: dict[str, str], until: int) -> None:
        step = int(row["step"])
        if step > until:
            return
        if row["eval_loss"]:
            sample = row["sample"] or None
            self.evaluations.append(
                EvalPoint(step, float(row["seconds"]), float(row["eval_loss"]), sample)
            )
            return
        memory = int(row["memory_bytes"]) if row["memory_bytes"] else None
        figures = (float(row[name]) for name in _STEP[1:5])
        self.steps.append(StepPoint(step, *figures, memory))


def _step_row(point: StepPoint) -> list[object]:
    return [*(getattr(point, name) for name in _STEP), "", ""]


def _eval_row(point: EvalPoint) -> list[object]:
    row: list[object] = [""] * len(_COLUMNS)
    row[0], row[1] = point.step, point.seconds
    row[-2], row[-1] = point.loss, point.sample or ""
    return row
