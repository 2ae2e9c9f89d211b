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
    from memorymark.api import analyze as analyze
    from memorymark.api import compare_costs as compare_costs
    from memorymark.api import estimate as estimate
    from memorymark.api import find_optimal_batch_size as find_optimal_batch_size
    from memorymark.api import fits as fits
    from memorymark.api import generate as generate
    from memorymark.api import levers as levers
    from memorymark.api import measure as measure
    from memorymark.api import sessions as sessions
    from memorymark.api import snippet as snippet
    from memorymark.api import validate_backward_pass as validate_backward_pass
    from memorymark.api import validate_compilation_benefit as validate_compilation_benefit
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
    from memorymark.records.trial import Trial as Trial
    from memorymark.service.answer_tasks import arc as arc
    from memorymark.text_api import tokenize as tokenize
    from memorymark.workloads.own_training import Training as Training

_HOMES = {
    "analyze": "api",
    "arc": "service.answer_tasks",
    "compare_costs": "api",
    "estimate": "api",
    "find_optimal_batch_size": "api",
    "levers": "api",
    "fits": "api",
    "generate": "api",
    "measure": "api",
    "sessions": "api",
    "snippet": "api",
    "tokenize": "text_api",
    "validate_backward_pass": "api",
    "validate_compilation_benefit": "api",
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
