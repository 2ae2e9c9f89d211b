"""Telling an out-of-memory error from any other, on every back end."""

from __future__ import annotations

import torch

from memorymark.errors import MemoryMarkError, OutOfMemory

# Raised as a plain RuntimeError. The texts are PyTorch's own (aten/src/ATen/mps/MPSAllocator.mm,
# c10/core/impl/alloc_cpu.cpp), and those of libraries that ask CUDA for memory by themselves.
_TEXTS = (
    "MPS backend out of memory",
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error says that memory ran out, whoever raised it.

    An error with a sentence on the user's code is what it was raised from.
    """
    while isinstance(error, MemoryMarkError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OutOfMemory | torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)
