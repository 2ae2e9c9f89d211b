"""The kernels of normalization, forward and backward.

Over samples in NCHW order a channel is one block of threads, so that few channels leave a part of
the card idle. Over rows a row is a block, however short it is; the gradients of the weights are
sums over the rows, in which a block goes through the rows of 32 columns, 32 at a time
(aten/src/ATen/native/cuda/layer_norm_kernel.cu, as it was in the published steps: PyTorch of 2025
and later splits the rows where columns are few).
"""

from __future__ import annotations

from typing import Any

from memorymark.simulator.time.kernels import (
    Kernel,
    Kind,
    bytes_of,
    is_channels_last,
    made_plain,
    stream,
)

_Kernels = tuple[Kernel, ...]
_TRAINING = slice(5, 6)


def batch_norm(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """In training one pass finds mean and variance, and a second one applies them.

    Else what is known is applied, element by element.
    """
    images = args[0]
    if any(flag is True for flag in args[_TRAINING]):
        return (_over_samples(images, moved_bytes + bytes_of(images)),)
    return (stream(Kind.ELEMENTWISE, moved_bytes),)


def batch_norm_backward(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """One pass sums the gradients, and a second one applies the sums."""
    return (_over_samples(args[1], moved_bytes + bytes_of(args[0], args[1])),)


def _over_samples(images: Any, moved_bytes: int) -> Kernel:
    if is_channels_last(images):
        return stream(Kind.NORM_LAST, moved_bytes, 2)
    return Kernel(Kind.NORM, None, 2, moved_bytes, columns=images.shape[1])


def group_norm(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """One pass finds mean and variance, and a second one applies them."""
    return (*made_plain(args[0]), stream(Kind.NORM, moved_bytes + bytes_of(args[0]), 2))


def group_norm_backward(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """The sums take a pass of their own."""
    moved = moved_bytes + bytes_of(args[0], args[1])
    return (*made_plain(args[0]), stream(Kind.NORM, moved, 4))


def layer_norm(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """One pass, a block of threads for a row."""
    rows, _ = _rows_and_columns(args[0], args[1])
    return (*made_plain(args[0]), Kernel(Kind.ROW_NORM, None, 1, moved_bytes, rows))


def layer_norm_backward(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """The gradients of weight and bias need a second pass over both operands."""
    gradient, x, shape = args[:3]
    rows, columns = _rows_and_columns(x, shape)
    kernels = (*made_plain(gradient), Kernel(Kind.ROW_NORM_BACKWARD, None, 1, moved_bytes, rows))
    if all(part is None for part in output[1:]):
        return kernels
    return (*kernels, Kernel(Kind.ROW_SUM, None, 1, bytes_of(gradient, x), rows, columns))


def _rows_and_columns(x: Any, shape: Any) -> tuple[int, int]:
    columns = 1
    for size in shape:
        columns *= int(size)
    return x.numel() // max(1, columns), columns
