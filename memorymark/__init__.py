"""MemoryMark: the largest training batch for a GPU, where the memory goes, and what it costs.

The names below are loaded when they are first used, so that `import memorymark` is light.

Example:
    >>> import memorymark
    >>> config = memorymark.TrainingConfig(precision="amp-bf16", seq_len=64)
    >>> config.seq_len
    64
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from memorymark.api.arc_calls import arc as arc
    from memorymark.api.model_calls import analyze as analyze
    from memorymark.api.model_calls import compare_costs as compare_costs
    from memorymark.api.model_calls import estimate as estimate
    from memorymark.api.model_calls import find_optimal_batch_size as find_optimal_batch_size
    from memorymark.api.model_calls import fits as fits
    from memorymark.api.model_calls import generate as generate
    from memorymark.api.model_calls import levers as levers
    from memorymark.api.model_calls import measure as measure
    from memorymark.api.model_calls import sessions as sessions
    from memorymark.api.model_calls import snippet as snippet
    from memorymark.api.model_calls import validate_backward_pass as validate_backward_pass
    from memorymark.api.model_calls import (
        validate_compilation_benefit as validate_compilation_benefit,
    )
    from memorymark.api.text_calls import tokenize as tokenize
    from memorymark.api.training_calls import compare_training as compare_training
    from memorymark.api.training_calls import train as train
    from memorymark.errors import MemoryMarkError as MemoryMarkError
    from memorymark.records.analysis import Analysis as Analysis
    from memorymark.records.arc_plan import ArcPlan as ArcPlan
    from memorymark.records.arc_report import ArcReport as ArcReport
    from memorymark.records.config import TrainingConfig as TrainingConfig
    from memorymark.records.fit import Fit as Fit
    from memorymark.records.generation_plan import GenerationPlan as GenerationPlan
    from memorymark.records.generation_run import GenerationRun as GenerationRun
    from memorymark.records.serving_config import ServingConfig as ServingConfig
    from memorymark.records.session_run import SessionPlan as SessionPlan
    from memorymark.records.session_run import SessionRun as SessionRun
    from memorymark.records.tokenized import Tokenized as Tokenized
    from memorymark.records.training_comparison import TrainingComparison as TrainingComparison
    from memorymark.records.training_plan import TrainingPlan as TrainingPlan
    from memorymark.records.training_run import TrainingRun as TrainingRun
    from memorymark.records.trial import Trial as Trial
    from memorymark.workloads.own_training import Training as Training

_HOMES = {
    "analyze": "api.model_calls",
    "arc": "api.arc_calls",
    "compare_costs": "api.model_calls",
    "estimate": "api.model_calls",
    "find_optimal_batch_size": "api.model_calls",
    "levers": "api.model_calls",
    "fits": "api.model_calls",
    "generate": "api.model_calls",
    "measure": "api.model_calls",
    "sessions": "api.model_calls",
    "snippet": "api.model_calls",
    "compare_training": "api.training_calls",
    "train": "api.training_calls",
    "tokenize": "api.text_calls",
    "validate_backward_pass": "api.model_calls",
    "validate_compilation_benefit": "api.model_calls",
    "Analysis": "records.analysis",
    "ArcPlan": "records.arc_plan",
    "ArcReport": "records.arc_report",
    "Fit": "records.fit",
    "GenerationPlan": "records.generation_plan",
    "GenerationRun": "records.generation_run",
    "MemoryMarkError": "errors",
    "ServingConfig": "records.serving_config",
    "SessionPlan": "records.session_run",
    "SessionRun": "records.session_run",
    "TrainingConfig": "records.config",
    "Tokenized": "records.tokenized",
    "TrainingComparison": "records.training_comparison",
    "TrainingPlan": "records.training_plan",
    "TrainingRun": "records.training_run",
    "Trial": "records.trial",
    "Training": "workloads.own_training",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'memorymark' has no attribute {name!r}")
    return getattr(importlib.import_module(f"memorymark.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
