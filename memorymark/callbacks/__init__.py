"""Callbacks that check, before the first step of a training, that its batch fits.

`MemoryMarkCallback` is for the Trainer of transformers, `LightningMemoryMarkCallback` for that of
Lightning. Each loads its library when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memorymark.callbacks.lightning_callback import (
        LightningMemoryMarkCallback as LightningMemoryMarkCallback,
    )
    from memorymark.callbacks.trainer_callback import MemoryMarkCallback as MemoryMarkCallback

_HOMES = {
    "LightningMemoryMarkCallback": "lightning_callback",
    "MemoryMarkCallback": "trainer_callback",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'memorymark.callbacks' has no attribute {name!r}")
    return getattr(importlib.import_module(f"memorymark.callbacks.{_HOMES[name]}"), name)
