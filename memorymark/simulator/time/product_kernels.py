"""The kernels of matrix products, attention and recurrent layers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from memorymark.simulator.time.kernels import Kernel, Kind, bytes_of

# Tensor cores read rows of 16 bytes at once.
_ALIGNED_BYTES = 16
# Where the arguments of recurrent layers that are no tensors begin, at the earliest.
_LAST_FLAGS = 6
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

    What a layer makes of its inputs is one product for all steps of time, and so are the gradients
    of all weights. What it makes of its state waits for the step before: steps run one after
    another, in each of them the layers and directions beside one another, as far as the card has
    room, each with a product and a kernel for its gates (Appleyard, Kocisky and Blunsom 2016,
    Optimizing Performance of Recurrent Neural Networks on GPUs). Kernels that keep the weights on
    the chip, which cuDNN has for some sizes in 16 bits, are not told apart.
    """
    sequence, per_cell = args[0], args[2]
    cells = [_matrices(args[1][n : n + per_cell]) for n in range(0, len(args[1]), per_cell)]
    steps, rows = _steps_and_rows(args)
    at_once = max(1, rows // steps)
    kernels, states = [], Counter[tuple[int, int]]()
    for cell in cells:
        columns, depth = cell[0].shape
        kernels += _over_all_steps(cell[0], rows, of_inputs=True, backward=backward)
        for weight in cell[1:]:
            states[tuple(weight.shape)] += 1
            if backward:
                kernels += _over_all_steps(weight, rows, of_inputs=False, backward=True)
    dtype, size = sequence.dtype, sequence.element_size()
    for (columns, depth), beside in states.items():
        out, summed = (depth, columns) if backward else (columns, depth)
        moved = size * beside * (columns * depth + at_once * (columns + depth))
        step = Kernel(Kind.PRODUCT, dtype, beside, moved, at_once, out, summed, beside)
        kernels += [step] * steps
    gates = Kernel(Kind.ELEMENTWISE, None, steps * len(cells), bytes_of(sequence, output))
    return (*kernels, gates)


def _matrices(weights: Any) -> list[Tensor]:
    """Return the matrices of one layer in one direction: of its inputs, its state, its result."""
    return [weight for weight in weights if weight is not None and weight.dim() == 2]


def _over_all_steps(weight: Tensor, rows: int, *, of_inputs: bool, backward: bool) -> list[Kernel]:
    """Return the products of a matrix with what all steps have read: its own, its gradients."""
    columns, depth = weight.shape
    size = weight.element_size()
    moved = size * (columns * depth + rows * (columns + depth))
    if not backward:
        return [Kernel(Kind.PRODUCT, weight.dtype, 1, moved, rows, columns, depth)]
    of_weight = Kernel(Kind.PRODUCT, weight.dtype, 1, moved, columns, depth, rows)
    of_input = Kernel(Kind.PRODUCT, weight.dtype, 1, moved, rows, depth, columns)
    return [of_input, of_weight] if of_inputs else [of_weight]


def _steps_and_rows(args: Any) -> tuple[int, int]:
    """Return the steps of time, and the samples of all of them: packed ones become fewer."""
    sequence = args[0]
    rows = sequence.numel() // max(1, sequence.shape[-1])
    packed = [part for part in args[_LAST_FLAGS:] if isinstance(part, list | tuple) and part]
    counts = [part for part in packed if all(type(n) is int for n in part)]
    if counts:
        return len(counts[0]), rows
    batch_first = next((flag for flag in args if isinstance(flag, bool)), False)
    return max(1, sequence.shape[1 if batch_first and sequence.dim() == 3 else 0]), rows


def _is_aligned(x: Tensor) -> bool:
    """Whether each row or column of the matrices begins at a multiple of 16 bytes."""
    if x.element_size() == 4 and x.dtype is not torch.float32:
        return True
    strides = x.stride()[-2:]
    longer = max(strides)
    return min(strides) <= 1 and longer * x.element_size() % _ALIGNED_BYTES == 0
