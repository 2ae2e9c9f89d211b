"""Two models trained on the same tokens within the same budget, side by side. Data only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from memorymark.records.codec import Record, same
from memorymark.records.costs import SECONDS_PER_HOUR, usd_for
from memorymark.records.training_run import TrainingRun
from memorymark.records.trial import Target


@dataclass(frozen=True)
class TrainingComparison(Record):
    """Trainings that differ in the model alone.

    Attributes:
        runs: The trainings, in the order in which they ran.
        price_per_hour: Dollars of the device; None where it is not known.
        csv: File with the losses of all of them by step; None where none was written.
        findings: What to know of the result, one sentence each.
        elapsed_seconds: Seconds of all.
    """

    json_keys: ClassVar = {
        "model": "model",
        "target": "target",
        "device": "target.name",
        "source": "target.source",
        **same("models", "price_per_hour", "costs_usd", "runs", "csv", "findings"),
        "elapsed_seconds": "elapsed_seconds",
    }

    runs: tuple[TrainingRun, ...]
    price_per_hour: float | None = None
    csv: str | None = None
    findings: tuple[str, ...] = ()
    elapsed_seconds: float | None = None

    @property
    def models(self) -> list[str]:
        """Names of the models."""
        return [run.model for run in self.runs]

    @property
    def model(self) -> str:
        """All of them in one name."""
        return " and ".join(self.models)

    @property
    def target(self) -> Target:
        """What they ran on."""
        return self.runs[0].target

    @property
    def costs_usd(self) -> list[float | None]:
        """Dollars of each training's steps, at the device's price."""
        return [usd_for(run.seconds / SECONDS_PER_HOUR, self.price_per_hour) for run in self.runs]

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield a row for each step and each evaluation that the records hold."""
        for run in self.runs:
            tokens = run.effective_batch_size * (run.config.seq_len if run.tokens else 1)
            for point in run.curve:
                yield {
                    "model": run.model, "step": point.step, "tokens": point.step * tokens,
                    "seconds": point.seconds, "loss": point.loss, "eval_loss": "",
                    "per_second": point.per_second, "memory_bytes": point.memory_bytes or "",
                }  # fmt: skip
            for each in run.evaluations:
                yield {
                    "model": run.model, "step": each.step, "tokens": each.step * tokens,
                    "seconds": each.seconds, "loss": "", "eval_loss": each.loss,
                    "per_second": "", "memory_bytes": "",
                }  # fmt: skip
