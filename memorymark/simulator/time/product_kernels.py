"""The kernels of matrix products, attention and recurrent layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memorymark.simulator.time.kernels import Kernel, Kind, bytes_of

# Tensor cores read rows of 16 bytes at once.
_ALIGNED_BYTES = 16
# Five products where the forward pass has two: it computes the scores again.
_BACKWARD_PRODUCTS = 2.5


def product(first: Tensor, second: Tensor, moved_bytes: int) -> tuple[Kernel, ...]:
    """Return the kernel of a product of matrices, or of as many as the tensors hold."""
    batch = first.shape[0] if first.dim() == 3 else 1
    rows, depth = first.shape[-2:]
    odd = not (_is_aligned(first) and _is_aligned(second))
    odd = odd or second.shape[-1] * second.element_size() % _ALIGNED_BYTES != 0
    kind = Kind.ODD_PRODUCT if odd else Kind.PRODUCT
    columns = second.shape[-1]
    return (Kernel(kind, first.dtype, 1, moved_bytes, rows, columns, depth, batch),)


def vector_product(matrix: Tensor, moved_bytes: int) -> tuple[Kernel, ...]:
    """Return the kernel of a product with a vector."""
    rows, depth = matrix.shape if matrix.dim() == 2 else (1, matrix.numel())
    return (Kernel(Kind.PRODUCT, matrix.dtype, 1, moved_bytes, rows, 1, depth),)


def attention(
    kind: Kind, tensors: tuple[Tensor, ...], moved_bytes: int, *, is_causal: bool, backward: bool
) -> tuple[Kernel, ...]:
    """Return the kernel of fused attention.

    Args:
        kind: Which kernel it is.
        tensors: Queries, keys and values: (samples, heads, positions, size).
        moved_bytes: What it reads and writes.
        is_causal: Whether half of the scores are left out.
        backward: Whether it is the backward pass.
    """
    query, key, value = tensors
    samples, heads, queries, size = query.shape
    depth = size + value.shape[-1]
    share = (_BACKWARD_PRODUCTS if backward else 1.0) * (0.5 if is_causal else 1.0)
    columns = max(1, round(key.shape[2] * share))
    launches = 3 if backward else 1
    return (
        Kernel(kind, query.dtype, launches, moved_bytes, queries, columns, depth, samples * heads),
    )


def recurrent(args: Any, output: Any, *, backward: bool) -> tuple[Kernel, ...]:
    """Return the kernels of cuDNN's recurrent layers.

    What a layer makes of its inputs is one product for all steps of time; what it makes of its
    state is one product for each step.
    """
    sequence, weights = args[0], [w for w in args[1] if w is not None and w.dim() == 2]
    batch_first = next((flag for flag in args if isinstance(flag, bool)), False)
    steps = max(1, sequence.shape[1 if batch_first and sequence.dim() == 3 else 0])
    rows = sequence.numel() // max(1, sequence.shape[-1])
    times = 2 if backward else 1
    kernels = []
    for n, weight in enumerate(weights):
        columns, depth = weight.shape
        moved = times * bytes_of(weight)
        if n % 2:  # of the state
            count, each = steps * times, rows // steps
            kernels.append(
                Kernel(
                    Kind.PRODUCT, weight.dtype, count, steps * moved, each, columns, depth, count
                )
            )
        else:
            sizes = rows * times, columns, depth
            kernels.append(Kernel(Kind.PRODUCT, weight.dtype, times, moved, *sizes))
    return (*kernels, Kernel(Kind.ELEMENTWISE, None, steps, bytes_of(sequence, output)))


def _is_aligned(x: Tensor) -> bool:
    """Whether each row or column of the matrices begins at a multiple of 16 bytes."""
    if x.element_size() == 4 and x.dtype is not torch.float32:
        return True
    strides = x.stride()[-2:]
    longer = max(strides)
    return min(strides) <= 1 and longer * x.element_size() % _ALIGNED_BYTES == 0
