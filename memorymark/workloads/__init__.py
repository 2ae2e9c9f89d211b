"""Workloads: what is trained.

The names below are loaded when they are first used: listing the forms of models needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload as Workload
    from memorymark.workloads.naming import MODEL_FORMS as MODEL_FORMS
    from memorymark.workloads.registry import resolve as resolve

_HOMES = {
    "MODEL_FORMS": "naming",
    "Workload": "base",
    "resolve": "registry",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'memorymark.workloads' has no attribute {name!r}")
    return getattr(importlib.import_module(f"memorymark.workloads.{_HOMES[name]}"), name)
