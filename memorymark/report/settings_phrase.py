"""What a result is of, in one phrase.

    bert · NVIDIA L4 (simulated) · sequence-classification · amp-bf16 · 512 tokens · adamw

It names model and target, and of the settings the precision, the lengths, the optimizer and
everything that differs from its default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping
from typing import Any

from memorymark.errors import MemoryMarkError
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison
from memorymark.records.config import (
    DEFAULT_IMAGE_SIZE,
    LENGTHS,
    TrainingConfig,
    without_filled_in_size,
)
from memorymark.records.costs import Plan
from memorymark.records.generation_plan import GENERATION_OPTIONS, SERVED, GenerationPlan
from memorymark.records.inputs import MONEY
from memorymark.records.option import changed, options_of
from memorymark.records.request import Request
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.records.trial import Target, Trial
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.report.setting_words import budget_words, setting_words

SEPARATOR = " · "
_OF_MODEL = ("task", "num_labels")
_ALWAYS_SERVED = ("weights", "context_tokens", "policy")
_ALWAYS = ("task", "precision", *LENGTHS, "optimizer")


def join_settings(parts: Iterable[str]) -> str:
    """Join parts of a phrase; empty ones are left out."""
    return SEPARATOR.join(filter(None, parts))


def training_phrase(config: TrainingConfig, asked: Request | None = None) -> str:
    """Name how something was trained.

    A size of images that nobody gave is left out, though the engine filled it in, and so are the
    model's own task and labels where what was asked for is known. A pair with a text is an image
    or audio, never both.

    Example:
        >>> training_phrase(TrainingConfig(task="ctc", audio_seconds=10, dropout=False))
        'ctc · fp32 · 10 s of audio · 128 tokens · adamw · no dropout'
    """
    config = without_filled_in_size(config)
    if config.audio_seconds is not None and config.image_size == DEFAULT_IMAGE_SIZE:
        config = dataclasses.replace(config, image_size=None)
    given = {} if asked is None else {name: getattr(asked.config, name) for name in _OF_MODEL}
    return join_settings(_training(config, {name for name in given if given[name] is None}))


def costs_phrase(plan: Plan | AnalysisOptions) -> str:
    """Name what costs are worked out for, as far as it is given.

    Example:
        >>> costs_phrase(Plan(price_per_hour=1.29, dataset_size=1_000_000, epochs=3))
        '$1.29 per hour · 1,000,000 samples · 3 epochs'
    """
    declared = options_of(AnalysisOptions)
    given = {name: getattr(plan, name) for name in MONEY}
    return join_settings(
        setting_words(declared[name], value) for name, value in given.items() if value is not None
    )


def analysis_phrase(analysis: Analysis, asked: Request | None = None) -> str:
    """Name all that an analysis is of.

    Args:
        analysis: The analysis.
        asked: What was asked for, where it is known: what the model's own configuration filled in
            is left out, and the budget is named, which the record of a GPU does not say.
    """
    return join_settings([*_analysis_head(analysis, asked), *_asked(analysis.options)])


def search_phrase(analysis: Analysis, asked: Request | None = None) -> str:
    """Name what an analysis is of, without current batch and costs, which its page shows."""
    return join_settings([*_analysis_head(analysis, asked), *_searched(analysis.options)])


def validation_phrase(
    validation: BackwardValidation | CompileValidation, asked: Request | None = None
) -> str:
    """Name all that a validation is of; what was asked for is taken as by `analysis_phrase`."""
    target = validation.target
    return join_settings(
        [
            validation.workload,
            target_phrase(target),
            _batch(validation.batch_size),
            training_phrase(validation.config, asked),
            budget_words(_asked_budget(asked) or target.budget_bytes),
        ]
    )


def comparison_phrase(comparison: Comparison, asked: Request | None = None) -> str:
    """Name all that a comparison is of; each of its GPUs has a source and a price of its own."""
    return join_settings(
        [
            comparison.model_name,
            training_phrase(comparison.config, asked),
            budget_words(_asked_budget(asked)),
            costs_phrase(dataclasses.replace(comparison.plan, price_per_hour=None)),
        ]
    )


def trial_phrase(trial: Trial, memory_budget_bytes: int | None = None) -> str:
    """Name all that one trial is of."""
    return join_settings(
        [
            trial.model,
            f"{trial.device} ({trial.source})",
            _batch(trial.batch_size),
            training_phrase(trial.config),
            budget_words(memory_budget_bytes),
        ]
    )


def serving_phrase(config: ServingConfig, plan: SessionPlan) -> str:
    """Name how something generates, and how its sessions take turns.

    Segments that grow, a matter of CUDA's allocator alone, are named where they are switched off.

    Example:
        >>> serving_phrase(ServingConfig(), SessionPlan())
        'bf16 · context of 2,048 tokens · caches held · 50 sessions'
    """
    first = {name: getattr(config, name) for name in _ALWAYS_SERVED}
    rest = {name: value for name, value in changed(config).items() if name not in first}
    planned = {"sessions": plan.sessions, **changed(plan)}
    declared = {**options_of(ServingConfig), **options_of(SessionPlan)}
    return join_settings(
        setting_words(declared[name], value) for name, value in (first | rest | planned).items()
    )


def generation_phrase(config: ServingConfig, plan: GenerationPlan) -> str:
    """Name how a text is written, without what is read.

    Example:
        >>> generation_phrase(ServingConfig(), GenerationPlan(prompt="Once", temperature=0.7))
        'bf16 · 64 new tokens · temperature 0.7'
    """
    first = {"weights": config.weights, "max_new_tokens": plan.max_new_tokens}
    given = {**changed(config), **changed(plan)}
    rest = {name: given[name] for name in (*SERVED, *GENERATION_OPTIONS) if name in given}
    declared = {**options_of(ServingConfig), **options_of(GenerationPlan)}
    return join_settings(
        setting_words(declared[name], value) for name, value in {**first, **rest}.items()
    )


def request_phrase(request: Request) -> str:
    """Name the settings of a request, without its model and its target.

    Example:
        >>> request_phrase(Request("analysis", "bert", TrainingConfig(seq_len=512), gpu="l4"))
        'fp32 · 512 tokens · adamw'
    """
    if request.serving is not None:
        config, written = request.serving, request.generation
        return join_settings(
            [
                generation_phrase(config, written)
                if written
                else serving_phrase(config, request.plan or SessionPlan()),
                budget_words(request.memory_budget),
                costs_phrase(request.options),
            ]
        )
    batch = None if request.batch_size is None else _batch(request.batch_size)
    gpus = f"GPUs {', '.join(request.gpus)}" if request.gpus else None
    return join_settings(
        [
            batch or "",
            *_training(request.config),
            budget_words(request.memory_budget),
            *_asked(request.options),
            gpus or "",
        ]
    )


def kept_phrase(request: Mapping[str, Any] | None) -> str:
    """Name the settings of a request of the run history; nothing where it cannot be read."""
    try:
        return request_phrase(Request.from_dict(request)) if request else ""
    except MemoryMarkError:
        return ""


def target_phrase(target: Target) -> str:
    """Name a target with its source, as in "NVIDIA A100 40GB (simulated)"."""
    return f"{target.name} ({target.source})"


def _analysis_head(analysis: Analysis, asked: Request | None) -> list[str]:
    return [
        analysis.workload,
        target_phrase(analysis.target),
        training_phrase(analysis.config, asked),
        budget_words(_asked_budget(asked) or analysis.target.budget_bytes),
    ]


def _asked_budget(asked: Request | None) -> int | None:
    return None if asked is None else asked.memory_budget


def _training(config: TrainingConfig, unsaid: Container[str] = ()) -> list[str]:
    """Name task, precision, lengths and optimizer, then what differs from its default."""
    declared = options_of(TrainingConfig)
    lengths = config.task.lengths if config.task else ()
    differing = changed(config)
    first = {
        name: getattr(config, name)
        for name in _ALWAYS
        if name in differing or name in lengths or name not in ("task", *LENGTHS)
    }
    rest = {name: value for name, value in differing.items() if name not in first}
    named = [
        setting_words(declared[name], value)
        for name, value in (first | rest).items()
        if value is not None and name not in unsaid
    ]
    return [*named, "compiled"] if config.compile else named


def _asked(options: AnalysisOptions) -> list[str]:
    """Name what an analysis is asked, as far as it differs from its defaults."""
    own = [setting_words(options_of(AnalysisOptions)[name], value) for name, value in _own(options)]
    return [*own, costs_phrase(options)]


def _searched(options: AnalysisOptions) -> list[str]:
    declared = options_of(AnalysisOptions)
    return [
        setting_words(declared[name], value)
        for name, value in _own(options)
        if name != "current_batch_size"
    ]


def _own(options: AnalysisOptions) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in changed(options).items() if name not in MONEY]


def _batch(batch_size: int) -> str:
    return f"batch size {batch_size:,}"
