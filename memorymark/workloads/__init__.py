"""Workloads: what is trained.

The names below are loaded when they are first used: listing the forms of models needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload as Workload
    from memorymark.workloads.build import build_model as build_model
    from memorymark.workloads.build import make_batch as make_batch
    from memorymark.workloads.naming import MODEL_FORMS as MODEL_FORMS
    from memorymark.workloads.naming import ModelForm as ModelForm
    from memorymark.workloads.registry import resolve as resolve

_HOMES = {
    "MODEL_FORMS": "naming",
    "ModelForm": "naming",
    "Workload": "base",
    "build_model": "build",
    "make_batch": "build",
    "resolve": "registry",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'memorymark.workloads' has no attribute {name!r}")
    return getattr(importlib.import_module(f"memorymark.workloads.{_HOMES[name]}"), name)
