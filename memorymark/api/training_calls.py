"""MemoryMark as a library, where models are trained for real."""

from __future__ import annotations

from typing import Any

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, OnEvent, ignore
from memorymark.records.option import options_of
from memorymark.records.option_keywords import naming_options, options_from
from memorymark.records.request import Request, RequestKind
from memorymark.records.training_comparison import TrainingComparison
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.training_run import TrainingRun
from memorymark.service.execute import execute
from memorymark.service.given_model import Model, named

__all__ = ["compare_training", "train"]

_OPTIONS = tuple(name for name in options_of(TrainingPlan) if name != "data")


@naming_options(TrainingPlan, _OPTIONS)
def train(
    model: Model,
    data: str | None = None,
    *,
    batch_size: int | None = None,
    config: TrainingConfig | None = None,
    device: str | None = None,
    memory_budget: str | int | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
    **options: Any,
) -> TrainingRun:
    """Train for real within budgets of memory and time, with checkpoints to go on from.

    What it will hold is simulated before, here and on the cards of the catalogue; what it held is
    measured. Out of memory halves the micro-batch and doubles the accumulation.

    Args:
        model: A model's name, a Workload, or a factory of yours, whose own batches it trains on.
        data: A text file, a folder of them, or a tokens file of `tokenize`.
        batch_size: Samples of a micro-batch; None takes what an analysis on the device recommends.
        config: How it is trained: precision, optimizer, sequence length, LoRA and the like.
        device: cuda, cuda:N, mps or cpu; None takes the best that is here.
        memory_budget: The most that may be used of it, as in "10GiB" or in bytes.
        on_event: Called with each event, about once a second while it trains.
        cancel: Ends it after the step that runs, saved; the result says so.
        options: The fields of TrainingPlan: steps, epochs or tokens, time_budget, learning_rate,
            schedule, warmup, eval_data, checkpoint, resume, seed and the like.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: The model or the data cannot be used, or nothing fits the budget.

    Example:
        >>> run = train("gpt2-bytes-small", "a.txt", steps=100, device="cpu")  # doctest: +SKIP
        >>> run.peak_memory_bytes == run.predicted_peak_bytes  # doctest: +SKIP
        True
    """
    name, given = named(model)
    plan = options_from(TrainingPlan, {"data": data, **options})
    request = Request(
        RequestKind.TRAIN, name, config or TrainingConfig(), device=device,
        memory_budget=memory_budget, batch_size=batch_size, training=plan,
    )  # fmt: skip
    run: Any = execute(request, **given, on_event=on_event, cancel=cancel)
    return run


@naming_options(TrainingPlan, _OPTIONS)
def compare_training(
    model: str,
    other: str,
    data: str | None = None,
    *,
    batch_size: int | None = None,
    config: TrainingConfig | None = None,
    device: str | None = None,
    memory_budget: str | int | None = None,
    price_per_hour: float | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
    **options: Any,
) -> TrainingComparison:
    """Train two models on the same tokens, one after the other, and compare what came of it.

    Both have the same effective batch, and half of the time budget.

    Args:
        model: The one model's name.
        other: The other's.
        data: As of `train`.
        batch_size: As of `train`; the second model takes what an analysis finds for it.
        config: As of `train`.
        device: As of `train`.
        memory_budget: As of `train`, for each of them.
        price_per_hour: Dollars of the device, for the costs; None takes the catalogue's.
        on_event: Called with each event.
        cancel: Ends the one that trains, saved, and then the other.
        options: The fields of TrainingPlan.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: A model or the data cannot be used, or nothing fits the budget.
    """
    plan = options_from(TrainingPlan, {"data": data, **options})
    request = Request(
        RequestKind.COMPARE_TRAINING, model, config or TrainingConfig(), device=device,
        memory_budget=memory_budget, batch_size=batch_size, training=plan, other_model=other,
        options=AnalysisOptions(price_per_hour=price_per_hour),
    )  # fmt: skip
    found: Any = execute(request, on_event=on_event, cancel=cancel)
    return found
