"""What one training runs: the model, its data, and how its steps are split. Checked once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memorymark.data.samples import Samples
from memorymark.data.tokens import Tokens
from memorymark.errors import InvalidValue, UsageError, quoted
from memorymark.records.config import TrainingConfig, check_batch_size
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.training_plan import TrainingPlan
from memorymark.workloads.base import Workload
from memorymark.workloads.checkpoint import Checkpoint


@dataclass(frozen=True)
class TrainingJob:
    """A training, before it begins.

    Attributes:
        workload: What is trained.
        config: How; its gradient accumulation is that of the first step.
        plan: What it reads, how long it goes on.
        batch_size: Samples of a micro-batch.
        samples: What it is trained on; None takes the workload's own batches.
        evaluation: What it is evaluated on; None for nothing.
        checkpoint: Where the weights lie with which it begins.
        bytes_per_token: Of the evaluation's text; None where there is none.
        tokenizer: What turns tokens into text; None where there is none.
        fingerprint: What a checkpoint's data must agree with; None of the workload's own batches.
        notes: What to know of how it was put together.
    """

    workload: Workload
    config: TrainingConfig
    plan: TrainingPlan
    batch_size: int
    samples: Samples | None
    evaluation: Samples | None
    checkpoint: Checkpoint
    bytes_per_token: float | None = None
    tokenizer: Tokens | None = None
    fingerprint: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def effective_batch(self) -> int:
        """Samples of an optimizer step."""
        return self.batch_size * self.config.gradient_accumulation

    @property
    def weights_folder(self) -> Path | None:
        """Folder of the weights with which it begins; None for random ones."""
        is_random = self.checkpoint.comes_from is WeightsFrom.RANDOM
        return None if is_random else self.checkpoint.folder

    @property
    def total_steps(self) -> int | None:
        """Optimizer steps that were asked for; None where only time ends them."""
        plan, samples = self.plan, self.samples
        if plan.steps is not None:
            return plan.steps
        if plan.tokens is not None:
            per_step = self.effective_batch * (self._tokens_per_sample() or 1)
            return max(1, -(-plan.tokens // per_step))
        if samples is None:
            return None
        if plan.epochs is None and plan.time_budget is not None:
            return None
        return max(1, -(-(plan.epochs or 1) * len(samples) // self.effective_batch))

    def split(self, batch_size: int) -> TrainingJob:
        """Return the same training in micro-batches of another size, its effective batch kept.

        Raises:
            UsageError: The effective batch is no multiple of it.
        """
        count, rest = divmod(self.effective_batch, batch_size)
        if rest or not count:
            raise UsageError(
                f"The effective batch {self.effective_batch:,} is no multiple of the batch size "
                f"{batch_size:,}. Choose a batch size that divides it."
            )
        config = dataclasses.replace(self.config, gradient_accumulation=count)
        return dataclasses.replace(self, config=config, batch_size=batch_size)

    def _tokens_per_sample(self) -> int | None:
        return self.samples.tokens_per_sample if self.samples is not None else None


def check_length(job: TrainingJob) -> None:
    """Check that a training has an end, and that its length can be counted.

    Raises:
        UsageError: It has none.
        InvalidValue: It is counted in what its samples have not.
    """
    plan, name = job.plan, quoted(job.workload.name)
    check_batch_size(job.batch_size)
    tokens = job.samples.tokens_per_sample if job.samples is not None else None
    if plan.tokens is not None and tokens is None:
        raise InvalidValue("tokens", plan.tokens, f"steps: samples of {name} have no tokens")
    if job.samples is None and plan.epochs is not None:
        raise InvalidValue(
            "epochs", plan.epochs, f"steps: {name} makes its own batches, which have no end"
        )
    if job.total_steps is None and plan.time_budget is None:
        raise UsageError(
            f"{name} makes its own batches, which have no end. Say how long it trains: --steps N "
            "or --time-budget 30m."
        )


def largest_divisor(number: int, most: int) -> int:
    """Return the largest divisor of a number that is no larger than another.

    Example:
        >>> largest_divisor(64, 48), largest_divisor(7, 6)
        (32, 1)
    """
    return next(each for each in range(min(number, most), 0, -1) if number % each == 0)
