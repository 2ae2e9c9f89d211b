"""A training that was run within its budgets, and what it came to. Data only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from memorymark.records.codec import Record, same
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.session_run import Verdict
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.trial import Target

_MOST_POINTS = 600


class StoppedBy(StrEnum):
    """Why a training ended."""

    LENGTH = "length"  # the steps, epochs or tokens that were asked for
    TIME_BUDGET = "time-budget"
    EARLY = "early-stopping"
    USER = "stopped"
    NOT_FINITE = "not-finite"
    OUT_OF_MEMORY = "out-of-memory"
    DISK = "disk"


@dataclass(frozen=True)
class StepPoint(Record):
    """One optimizer step.

    Attributes:
        step: Its number, from 1.
        seconds: When it was done, in seconds of training; pauses between two runs do not count.
        loss: Mean loss of its samples.
        learning_rate: The rate that it took.
        per_second: Tokens a second of that step; samples where there are no tokens.
        memory_bytes: The most that lived in it, or in the last one like it that was counted.
    """

    step: int
    seconds: float
    loss: float
    learning_rate: float
    per_second: float
    memory_bytes: int | None = None


@dataclass(frozen=True)
class EvalPoint(Record):
    """One evaluation.

    Attributes:
        step: Steps that were done before it.
        seconds: When it was done, in seconds of training.
        loss: Mean loss over the evaluation's samples.
        sample: What the model wrote then; None where it was not asked to.
    """

    step: int
    seconds: float
    loss: float
    sample: str | None = None


@dataclass(frozen=True)
class Forecast(Record):
    """What the same training would take on a GPU: simulated, none of it run.

    Attributes:
        gpu: Key of the GPU catalogue.
        fits: Whether its micro-batches fit; None where that is not known.
        peak_reserved_bytes: Memory of the allocator; None where it does not fit.
        seconds: Estimate of all steps; None where it does not fit.
        seconds_low: The least that is likely.
        seconds_high: The most that is likely.
        usd: Dollars at the GPU's price; None where there is none.
    """

    gpu: str
    fits: bool | None
    peak_reserved_bytes: int | None = None
    seconds: float | None = None
    seconds_low: float | None = None
    seconds_high: float | None = None
    usd: float | None = None


@dataclass(frozen=True)
class Kept(Record):
    """Whether something that was asked for was kept.

    Attributes:
        verdict: PASS, FAIL, or NOT PROVEN where the run does not tell.
        reason: Why, in one sentence.
    """

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class TrainingRun(Record):
    """One training on one device, and what it came to.

    Attributes:
        model: The workload's name.
        config: How it was trained; its gradient accumulation is that of the last step.
        plan: What it read, how long it was to go on, how weights were updated.
        target: What it ran on.
        batch_size: Samples of a micro-batch, in the last step.
        stopped_by: Why it ended.
        parameters: Parameters of the model.
        trainable_parameters: Those that are trained.
        weights_from: Where the weights came from that it began with.
        steps: Optimizer steps that were done, those of earlier runs that it went on from too.
        total_steps: Those that were asked for; None where only time ends it.
        samples: Samples that were trained on.
        tokens: Tokens that were trained on; None where samples have none.
        seconds: Seconds of the steps, of all runs; evaluations and checkpoints are left out.
        train_loss: Mean loss of the last steps, up to as many as an evaluation is apart.
        eval_loss: Loss of the last evaluation.
        best_eval_loss: The smallest of an evaluation.
        best_step: Steps that were done before that.
        bytes_per_token: Bytes of the evaluation's text over its tokens.
        peak_memory_bytes: Most bytes of live tensors; counted on a CPU, on CUDA the allocator's.
        peak_reserved_bytes: The most that the caching allocator held; None where there is none.
        predicted_peak_bytes: What was simulated before the first step; None where it was not.
        memory_budget_bytes: The hard limit.
        checkpoint: Folder of the checkpoints and of the figures of each step.
        model_folder: Folder of the trained model, which `generate hf:FOLDER` opens.
        resumed_from: Steps of the checkpoint that it went on from; None for a new training.
        curve: Its steps, thinned; all of them are in the folder's steps.csv.
        evaluations: Its evaluations.
        forecasts: What it would take on GPUs of the catalogue, simulated.
        verdicts: Whether the budgets were kept, by name.
        findings: What to know of the result, one sentence each.
        assumptions: What the simulation answered without knowing, one sentence each.
        error: The sentence of what ended it early.
        elapsed_seconds: Seconds of this run, with everything.
        software: Versions of what ran.
        created_at: When it began, in ISO 8601, UTC.
    """

    json_keys: ClassVar = {
        **same("model", "config", "plan", "target"),
        "device": "target.name",
        "source": "target.source",
        **same("batch_size"),
        "gradient_accumulation": "config.gradient_accumulation",
        **same(
            "effective_batch_size", "parameters", "trainable_parameters", "weights_from", "steps",
            "total_steps", "samples", "tokens", "seconds", "train_loss", "eval_loss", "perplexity",
            "perplexity_per_byte", "best_eval_loss", "best_step", "bytes_per_token",
            "peak_memory_bytes", "peak_reserved_bytes", "predicted_peak_bytes",
            "memory_budget_bytes",
        ),
        "time_budget_seconds": "plan.time_budget",
        **same(
            "stopped_by", "checkpoint", "model_folder", "resumed_from", "verdicts", "curve",
            "evaluations", "forecasts", "findings", "assumptions", "error", "elapsed_seconds",
            "software", "created_at",
        ),
    }  # fmt: skip

    model: str
    config: TrainingConfig
    plan: TrainingPlan
    target: Target
    batch_size: int
    stopped_by: StoppedBy
    parameters: int = 0
    trainable_parameters: int = 0
    weights_from: WeightsFrom = WeightsFrom.RANDOM
    steps: int = 0
    total_steps: int | None = None
    samples: int = 0
    tokens: int | None = None
    seconds: float = 0.0
    train_loss: float | None = None
    eval_loss: float | None = None
    best_eval_loss: float | None = None
    best_step: int | None = None
    bytes_per_token: float | None = None
    peak_memory_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    predicted_peak_bytes: int | None = None
    memory_budget_bytes: int | None = None
    checkpoint: str | None = None
    model_folder: str | None = None
    resumed_from: int | None = None
    curve: tuple[StepPoint, ...] = ()
    evaluations: tuple[EvalPoint, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    verdicts: dict[str, Kept] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    error: str | None = None
    elapsed_seconds: float | None = None
    software: dict[str, str] = field(default_factory=dict)
    created_at: str = ""

    @property
    def effective_batch_size(self) -> int:
        """Samples of an optimizer step."""
        return self.batch_size * self.config.gradient_accumulation

    @property
    def perplexity(self) -> float | None:
        """Exponential of the evaluation's loss, a token; None where none was made."""
        return _exponential(self.eval_loss)

    @property
    def perplexity_per_byte(self) -> float | None:
        """The same for each byte of the text, so that tokenizers can be compared."""
        if self.eval_loss is None or not self.bytes_per_token:
            return None
        return _exponential(self.eval_loss / self.bytes_per_token)

    @property
    def per_second(self) -> float | None:
        """Tokens a second of all steps; samples where there are no tokens."""
        done = self.samples if self.tokens is None else self.tokens
        return done / self.seconds if self.seconds > 0 else None


def thinned(points: Sequence[StepPoint], most: int = _MOST_POINTS) -> tuple[StepPoint, ...]:
    """Return at most so many points, evenly spread, the first and the last among them.

    Example:
        >>> [each.step for each in thinned([StepPoint(n, 1, 1, 1, 1) for n in range(1, 10)], 3)]
        [1, 5, 9]
    """
    if len(points) <= most:
        return tuple(points)
    last = len(points) - 1
    return tuple(points[round(index * last / (most - 1))] for index in range(most))


def _exponential(value: float | None) -> float | None:
    return None if value is None or value > 700 else math.exp(value)
