"""What one operation does on the device: the kernels that CUDA runs for it.

A kernel says what it is and how much it does, and nothing of the card: any card can price it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum, unique
from typing import Any, NamedTuple

import torch
from torch import Tensor


@unique
class Kind(StrEnum):
    """What a kernel is, as far as it decides which share of a card's peaks it reaches."""

    PRODUCT = "matrix product"
    ODD_PRODUCT = "matrix product whose rows are not aligned to 16 bytes"
    CONVOLUTION = "convolution, its result or the gradient of its images"
    CONVOLUTION_WEIGHTS = "convolution, the gradient of its weights"
    GROUPED = "grouped convolution, its result or the gradient of its images"
    GROUPED_WEIGHTS = "grouped convolution, the gradient of its weights"
    GROUPED_DIRECT_WEIGHTS = "the same in NHWC order, in groups without tensor cores' kernels"
    DEPTHWISE = "depthwise convolution in NCHW order, by cuDNN"
    DEPTHWISE_WEIGHTS = "depthwise convolution in NCHW order by cuDNN, the gradient of its weights"
    DEPTHWISE_PLAIN = "depthwise convolution in NCHW order, by PyTorch's own kernel"
    DEPTHWISE_PLAIN_WEIGHTS = "the same, the gradient of its weights"
    DEPTHWISE_LAST = "depthwise convolution in NHWC order"
    DEPTHWISE_LAST_WEIGHTS = "depthwise convolution in NHWC order, the gradient of its weights"
    DEPTHWISE_LARGE = "depthwise convolution in NHWC order, its filter larger than 7x7"
    FLASH = "flash attention"
    EFFICIENT = "memory-efficient attention"
    LAYOUT = "copy of a convolution's operand from NCHW to NHWC order or back"
    LAYOUT_BACKWARD = "such a copy for the gradients"
    ELEMENTWISE = "element by element"
    TRANSPOSE = "element by element between two orders of memory"
    NORM = "normalization over samples, or over groups of channels"
    NORM_LAST = "normalization over samples, in NHWC order"
    ROW_NORM = "normalization over rows"
    ROW_NORM_BACKWARD = "normalization over rows, backward"
    ROW_SUM = "normalization over rows, the gradients of its weights"
    SOFTMAX = "softmax"
    REDUCTION = "reduction"
    POOL = "pooling, resizing and windows"
    RESIZE = "resizing in which one thread does a place of all samples and channels"
    GATHER = "rows by index"
    OPTIMIZER = "update of many tensors in one kernel"


class Kernel(NamedTuple):
    """One kernel. Its numbers are straight lines over the batch size.

    It does `2 * batch * rows * columns * depth` operations of arithmetic.

    Attributes:
        kind: What it is.
        dtype: The format of its arithmetic; None where arithmetic takes no time.
        launches: How many kernels in a row do it.
        moved_bytes: Bytes that it reads and writes.
        rows: Rows of a product's result, or elements of a depthwise convolution's.
        columns: Columns of it.
        depth: What a product sums over.
        batch: Products that one kernel does beside one another.
    """

    kind: Kind
    dtype: torch.dtype | None
    launches: int
    moved_bytes: int
    rows: int = 0
    columns: int = 0
    depth: int = 0
    batch: int = 1


class Work(NamedTuple):
    """What one call of an operation does.

    Attributes:
        kernels: Its kernels, one after the other.
        times: How often it runs.
    """

    kernels: tuple[Kernel, ...]
    times: int = 1


def stream(kind: Kind, moved_bytes: int, launches: int = 1) -> Kernel:
    """Return a kernel whose time is that of its bytes."""
    return Kernel(kind, None, launches, moved_bytes)


def made_plain(x: Tensor) -> tuple[Kernel, ...]:
    """Return the copy that kernels make of an operand whose rows do not lie one after another."""
    return () if x.is_contiguous() else (stream(Kind.TRANSPOSE, 2 * bytes_of(x)),)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors among arguments."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)


def bytes_of(*values: Any) -> int:
    """Return the bytes of tensors, what is expanded counted once."""
    return sum(_bytes_of(x) for x in tensors_in(values))


def _bytes_of(x: Tensor) -> int:
    if x.layout is not torch.strided:
        return x.numel() * x.element_size()
    sizes = (n for n, stride in zip(x.shape, x.stride(), strict=True) if stride)
    return math.prod(sizes) * x.element_size()


def is_channels_last(x: Tensor) -> bool:
    """Return whether images lie in NHWC order, and not in NCHW too."""
    return (
        x.dim() in (4, 5)
        and not x.is_contiguous()
        and x.is_contiguous(
            memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d
        )
    )
