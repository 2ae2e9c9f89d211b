"""The kernels of convolutions, forward and backward, in the layout that they run in.

cuDNN's kernels for tensor cores work on NHWC order. Operands in NCHW order are copied into it
before, and the result back after (NVIDIA, "Convolutional Layers User's Guide": NHWC needs no
transposes). The bias is added by a kernel of its own, and its gradient is a sum
(aten/src/ATen/native/Convolution.cpp). Channels are padded to a multiple of eight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from memorymark.simulator.time.kernels import Kernel, Kind, bytes_of, is_channels_last, stream

_CHANNELS = 8
# Channels of a group for which kernels in NHWC order are quick: groups of others are slow in all
# the published trainings (RegNetX, NFNet), and these are not (ResNeXt, DLA).
_GROUP_WIDTHS = frozenset((1, 2, 4, 8, 16, 32, 64))
_TRANSPOSED, _GROUPS = 6, 8


def forward(args: tuple[Any, ...], output: Tensor) -> tuple[Kernel, ...]:
    """Return the kernels of `aten::convolution`."""
    images, weight, bias = args[:3]
    small = output if not args[_TRANSPOSED] else images
    shape = _Shape(images, weight, small, args[_TRANSPOSED], args[_GROUPS])
    kernels = [*shape.layout(images, output), shape.kernel(False, bytes_of(images, weight, output))]
    if bias is not None and not shape.is_depthwise:
        kernels.append(stream(Kind.ELEMENTWISE, 2 * bytes_of(output)))
    return tuple(kernels)


def backward(args: tuple[Any, ...], output: tuple[Any, ...]) -> tuple[Kernel, ...]:
    """Return the kernels of `aten::convolution_backward`: one for each gradient asked for."""
    gradient, images, weight = args[:3]
    transposed, groups = args[_TRANSPOSED + 1], args[_GROUPS + 1]
    small = gradient if not transposed else images
    shape = _Shape(images, weight, small, transposed, groups)
    of_images, of_weight, of_bias = output
    kernels: list[Kernel] = []
    if of_images is not None:
        kernels += shape.layout(gradient, of_images)
        kernels.append(shape.kernel(False, bytes_of(gradient, weight, of_images)))
    if of_weight is not None:
        kernels += shape.layout(images, *(() if of_images is not None else (gradient,)))
        kernels.append(shape.kernel(True, bytes_of(gradient, images, of_weight)))
    if of_bias is not None:
        kernels.append(stream(Kind.REDUCTION, bytes_of(gradient)))
    return tuple(kernels)


class _Shape:
    """What all kernels of one convolution share.

    Args:
        images: What is convolved.
        weight: The filters.
        small: The side of which each element is a sum over a filter: the result, or what a
            transposed convolution reads.
        transposed: Whether it is one.
        groups: Its groups.
    """

    def __init__(
        self, images: Tensor, weight: Tensor, small: Tensor, transposed: bool, groups: int
    ) -> None:
        self._dtype, self._groups = weight.dtype, groups
        self._positions = small.shape[0] * math.prod(small.shape[2:])
        self._filter = math.prod(weight.shape[2:])
        self._out, self._in = weight.shape[0] // groups, weight.shape[1]
        self.is_depthwise = groups > 1 and self._in == 1
        self._last = is_channels_last(images) or is_channels_last(weight)
        plain = math.prod(images.shape[2:]) == 1 and math.prod(small.shape[2:]) == 1
        self._in_order = self._last or plain

    def layout(self, *operands: Tensor) -> Iterator[Kernel]:
        """Yield the copies of operands into NHWC order."""
        if not (self.is_depthwise or self._in_order):
            kind = Kind.POINTWISE_LAYOUT if self._filter == 1 else Kind.LAYOUT
            for operand in operands:
                yield Kernel(kind, self._dtype, 1, 2 * bytes_of(operand))

    def kernel(self, of_weights: bool, moved_bytes: int) -> Kernel:
        """Return the product that the convolution is.

        Args:
            of_weights: Whether it gives the gradient of the weights.
            moved_bytes: What it reads and writes.
        """
        if self.is_depthwise:
            kind = _DEPTHWISE[self._last, of_weights]
            channels = self._groups * self._out
            return Kernel(
                kind, self._dtype, 1, moved_bytes, self._positions, 1, self._filter, channels
            )
        grouped = self._groups > 1
        depth, columns = _padded(self._in, grouped) * self._filter, self._out
        if of_weights:
            kind = Kind.CONVOLUTION_WEIGHTS
            if grouped:
                slow = self._last and self._in not in _GROUP_WIDTHS
                kind = Kind.GROUPED_LAST_WEIGHTS if slow else Kind.GROUPED_WEIGHTS
            sizes = columns, depth, self._positions
        else:
            kind = Kind.GROUPED if grouped else Kind.CONVOLUTION
            sizes = self._positions, columns, depth
        return Kernel(kind, self._dtype, 1, moved_bytes, *sizes, self._groups)


_DEPTHWISE = {
    (False, False): Kind.DEPTHWISE,
    (False, True): Kind.DEPTHWISE_WEIGHTS,
    (True, False): Kind.DEPTHWISE_LAST,
    (True, True): Kind.DEPTHWISE_LAST_WEIGHTS,
}


def _padded(channels: int, grouped: bool) -> int:
    return channels if grouped else -(-channels // _CHANNELS) * _CHANNELS
