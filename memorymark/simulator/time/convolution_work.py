"""The kernels of convolutions, forward and backward, in the layout that they run in.

cuDNN's kernels for tensor cores work on NHWC order. Operands in NCHW order are copied into it
before, and the result back after (NVIDIA, "Convolutional Layers User's Guide": NHWC needs no
transposes). The bias is added by a kernel of its own, and its gradient is a sum; an operand that
lies in neither order, or not in that of the other, is copied first
(aten/src/ATen/native/Convolution.cpp). Channels are padded to a multiple of eight, those of a group
in NHWC order to a power of two.

The gradient of grouped weights in NHWC order has kernels for tensor cores only where groups are
alike on both sides, a power of two from 4 to 32 wide, 32 or a multiple of them, and not dilated:
so the published trainings of ResNeXt, DLA, SENet, SKNet, Res2Net, RegNetX and NFNet in that order
say, which take two to three times as long as in NCHW order where it does not hold. Else cuDNN runs
`wgrad2d_grouped_direct_kernel` (pytorch issue 34977 has a profile of it).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from memorymark.simulator.time import depthwise_work
from memorymark.simulator.time.kernels import Kernel, Kind, bytes_of, is_channels_last, stream

_CHANNELS = 8
_QUICK_WIDTHS = frozenset((4, 8, 16, 32))
_QUICK_GROUPS = 32
_STRIDE, _DILATION, _TRANSPOSED, _GROUPS = 3, 5, 6, 8


def forward(args: tuple[Any, ...], output: Tensor) -> tuple[Kernel, ...]:
    """Return the kernels of `aten::convolution`."""
    images, weight, bias = args[:3]
    shape = _Shape(images, weight, output if not args[_TRANSPOSED] else images, args)
    kernels = [
        *shape.ordered(images),
        *shape.layout(Kind.LAYOUT, images, output),
        shape.kernel(False, bytes_of(images, weight, output)),
    ]
    if bias is not None and shape.adds_bias_apart:
        kernels.append(stream(Kind.ELEMENTWISE, 2 * bytes_of(output)))
    return tuple(kernels)


def backward(args: tuple[Any, ...], output: tuple[Any, ...]) -> tuple[Kernel, ...]:
    """Return the kernels of `aten::convolution_backward`: one for each gradient asked for."""
    gradient, images, weight = args[:3]
    small = gradient if not args[_TRANSPOSED + 1] else images
    # The arguments are those of the forward pass, with the gradient before them.
    shape = _Shape(images, weight, small, args[1:])
    of_images, of_weight, of_bias = output
    kernels = [*shape.ordered(gradient)]
    if of_images is not None:
        kernels += shape.layout(Kind.LAYOUT_BACKWARD, gradient, of_images)
        kernels.append(shape.kernel(False, bytes_of(gradient, weight, of_images)))
    if of_weight is not None:
        kernels += shape.ordered(images)
        others = () if of_images is not None else (gradient,)
        kernels += shape.layout(Kind.LAYOUT_BACKWARD, images, *others)
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
        args: The arguments of the forward pass.
    """

    def __init__(self, images: Tensor, weight: Tensor, small: Tensor, args: tuple[Any, ...]):
        self._dtype, self._groups = weight.dtype, args[_GROUPS]
        self._positions = small.shape[0] * math.prod(small.shape[2:])
        self._filter = math.prod(weight.shape[2:])
        self._out, self._in = weight.shape[0] // self._groups, weight.shape[1]
        self._is_depthwise = self._groups > 1 and self._in == 1
        self._is_dilated = max(args[_DILATION]) > 1
        self._last = is_channels_last(images) or is_channels_last(weight)
        self._cudnns = not self._is_depthwise or depthwise_work.is_cudnns(
            images, weight, args[_STRIDE], args[_DILATION], last=self._last
        )
        plain = math.prod(images.shape[2:]) == 1 and math.prod(small.shape[2:]) == 1
        self._in_order = self._last or plain

    @property
    def adds_bias_apart(self) -> bool:
        """Whether a kernel of its own adds the bias."""
        return self._cudnns

    def ordered(self, operand: Tensor) -> Iterator[Kernel]:
        """Yield the copy of an operand that does not lie in the order of the convolution."""
        if operand.dim() not in (4, 5):
            return
        last = torch.channels_last if operand.dim() == 4 else torch.channels_last_3d
        wanted = last if self._last else torch.contiguous_format
        if not operand.is_contiguous(memory_format=wanted):
            yield stream(Kind.TRANSPOSE, 2 * bytes_of(operand))

    def layout(self, kind: Kind, *operands: Tensor) -> Iterator[Kernel]:
        """Yield the copies of operands into NHWC order, or of the result back.

        A filter of one element is a product of matrices as the images lie, and only its gradients
        are worked out in NHWC order.
        """
        is_product = self._filter == 1 and kind is Kind.LAYOUT
        if not (self._is_depthwise or self._in_order or is_product):
            for operand in operands:
                yield Kernel(kind, self._dtype, 1, 2 * bytes_of(operand))

    def kernel(self, of_weights: bool, moved_bytes: int) -> Kernel:
        """Return the product that the convolution is.

        Args:
            of_weights: Whether it gives the gradient of the weights.
            moved_bytes: What it reads and writes.
        """
        if self._is_depthwise:
            kind = depthwise_work.kind_of(
                self._filter, last=self._last, cudnns=self._cudnns, of_weights=of_weights
            )
            channels = self._groups * self._out
            return Kernel(
                kind, self._dtype, 1, moved_bytes, self._positions, 1, self._filter, channels
            )
        grouped = self._groups > 1
        if of_weights:
            kind = self._weights_kind() if grouped else Kind.CONVOLUTION_WEIGHTS
            depth = self._in if grouped else self._padded(self._in)
            sizes = self._out, depth * self._filter, self._positions
        else:
            kind = Kind.GROUPED if grouped else Kind.CONVOLUTION
            out = self._padded(self._out) if grouped else self._out
            sizes = self._positions, out, self._padded(self._in) * self._filter
        return Kernel(kind, self._dtype, 1, moved_bytes, *sizes, self._groups)

    def _weights_kind(self) -> Kind:
        quick = (
            self._in == self._out
            and self._in in _QUICK_WIDTHS
            and self._groups % _QUICK_GROUPS == 0
            and not self._is_dilated
        )
        return Kind.GROUPED_WEIGHTS if quick or not self._last else Kind.GROUPED_DIRECT_WEIGHTS

    def _padded(self, channels: int) -> int:
        if self._groups == 1:
            return -(-channels // _CHANNELS) * _CHANNELS
        return 1 << (channels - 1).bit_length() if self._last else channels
