"""Test-time training on ARC tasks as a function of the library."""

from __future__ import annotations

from typing import Any

from memorymark.records.arc_plan import ARC_OPTIONS, ArcPlan
from memorymark.records.arc_report import ArcReport
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, OnEvent, ignore
from memorymark.records.option_keywords import naming_options, options_from
from memorymark.records.request import Request, RequestKind
from memorymark.service.execute import execute
from memorymark.service.given_model import Model, named


@naming_options(ArcPlan, ARC_OPTIONS)
def arc(
    model: Model,
    data: str | None = None,
    *,
    config: TrainingConfig | None = None,
    device: str | None = None,
    memory_budget: str | int | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
    **options: Any,
) -> ArcReport:
    """Answer ARC tasks with a decoder that is trained on each task's own examples before.

    For each task: adapters anew, training on its examples, each left out in its turn (Akyürek et
    al. 2024, arXiv 2411.07279), greedy decoding, and the share of test grids that are right to the
    last cell, with and without the training. Budgets hold over all tasks.

    Args:
        model: A folder with config.json and safetensors, a hub id, a configuration's name, whose
            weights are random, or a Workload.
        data: Folder of ARC tasks.
        config: How the model is trained: precision, optimizer, LoRA rank (8) and the like.
        device: cuda, cuda:N, mps or cpu; None takes the best that is here.
        memory_budget: The most that may be used of it, as in "10GiB" or in bytes.
        on_event: Called with each event.
        cancel: Ends the work; the tasks that were done come along with `Cancelled`.
        options: The other fields of ArcPlan: generated, tasks, steps (64), batch_size (2),
            learning_rate, all_weights, augment, shown, seq_len, time_budget, target_accuracy,
            pretrain_steps, checkpoint, seed, random_weights and the like.

    Raises:
        UsageError: An argument is invalid, or there are no tasks.
        MemoryMarkError: A file is no task, or the model cannot be trained.

    Example:
        >>> report = arc("gpt2", generated=4, device="cpu", steps=2)  # doctest: +SKIP
        >>> report.trainable_parameters  # doctest: +SKIP
        1179648
    """
    name, given = named(model)
    plan = options_from(ArcPlan, {"data": data, **options})
    request = Request(
        RequestKind.ARC, name, config or TrainingConfig(), device=device,
        memory_budget=memory_budget, arc=plan,
    )  # fmt: skip
    return execute(request, **given, on_event=on_event, cancel=cancel)
