"""Telling an out-of-memory error from any other, on every back end."""

from __future__ import annotations

import torch

from memorymark.errors import OutOfMemory

# Back ends that raise a plain RuntimeError; the texts are PyTorch's own
# (aten/src/ATen/mps/MPSAllocator.mm, c10/core/impl/alloc_cpu.cpp).
_TEXTS = ("MPS backend out of memory", "DefaultCPUAllocator: can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error says that memory ran out, whoever raised it."""
    if isinstance(error, OutOfMemory | torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)
