"""MemoryMark: how large the batch can be, where the memory goes, what the difference costs."""

from __future__ import annotations

__version__ = "0.1.0"
