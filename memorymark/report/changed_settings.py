"""Which settings were changed since a result was asked for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.option import Option, options_of
from memorymark.records.request import Request, RequestKind, amount_words
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.report.setting_words import label_words, share_words

Change = tuple[str, Any, Any]
# The task of a session is filled in by its model.
_SERVED = {*options_of(ServingConfig), *options_of(SessionPlan)} - {"task"}


def changed_settings(
    was: Request,
    now: Request,
    *,
    targets: tuple[str, str],
    training: Collection[str],
    search: Collection[str],
) -> tuple[str, ...]:
    """Say which settings differ between two requests, each as in "precision fp32 (now bf16)".

    Args:
        was: What the result was asked for.
        now: What would be asked for now, of the same kind.
        targets: The names of their targets.
        training: The fields of TrainingConfig that count for the model.
        search: The fields of AnalysisOptions that count.
    """
    changes: list[Change] = [("model", was.model, now.model)]
    if was.kind is not RequestKind.COMPARISON:
        changes.append(("GPU", *targets))
    changes.append(("memory budget", _budget(was), _budget(now)))
    for kind, old, new in (
        (ServingConfig, was.serving, now.serving),
        (SessionPlan, was.plan, now.plan),
    ):
        if old is not None and new is not None:
            changes += _of_record(kind, old, new, _SERVED)
    changes.append(("host memory", _amount(was.host_memory), _amount(now.host_memory)))
    changes.append(("batch", was.batch_size, now.batch_size))
    changes += _of_record(TrainingConfig, was.config, now.config, training)
    changes += _of_record(AnalysisOptions, was.options, now.options, search)
    return tuple(f"{name} {old} (now {new})" for name, old, new in changes if old != new)


def _of_record(kind: type[Any], was: Any, now: Any, names: Collection[str]) -> list[Change]:
    return [
        (label_words(option), *(_value_words(option, getattr(each, name)) for each in (was, now)))
        for name, option in options_of(kind).items()
        if name in names
    ]


def _budget(request: Request) -> str:
    return "whole device" if request.memory_budget is None else amount_words(request.memory_budget)


def _amount(size: int | None) -> str:
    return "by default" if size is None else amount_words(size)


def _value_words(option: Option, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "by default"
    return share_words(value) if option.is_share else str(value)
