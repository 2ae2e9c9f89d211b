"""Which kernels run a depthwise convolution: cuDNN's or PyTorch's own.

In NHWC order it is cuDNN. In NCHW order PyTorch's own kernels run, which also add the bias, but for
sizes in fp16 for which cuDNN's are known to be quicker (`use_cudnn_depthwise` and
`check_cudnn_depthwise_workload_with_filter` in aten/src/ATen/native/Convolution.cpp; kernels in
aten/src/ATen/native/cuda/DepthwiseConv2d.cu).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from memorymark.simulator.time.kernels import Kind

_CUDNN_FILTERS = (1, 3, 5)
_LEAST_CHANNELS, _LEAST_WIDTH = 32, 7
# With a stride of two: so many channels, or so many of images so wide.
_STRIDED_CHANNELS, _WIDE_CHANNELS, _WIDE = 512, 256, 28
# In NHWC order cuDNN has kernels of its own for filters up to 7x7.
_LARGEST_FILTER = 49


def is_cudnns(
    images: Tensor, weight: Tensor, stride: Sequence[int], dilation: Sequence[int], *, last: bool
) -> bool:
    """Return whether cuDNN runs a depthwise convolution.

    Args:
        images: What is convolved.
        weight: The filters.
        stride: Its stride, by dimension.
        dilation: Its dilation, by dimension.
        last: Whether it runs in NHWC order.
    """
    if last:
        return True
    half, channels = weight.dtype is torch.float16, images.shape[1]
    if not half or channels < _LEAST_CHANNELS or max(dilation) > 1 or min(stride) != max(stride):
        return False
    if images.dim() == 3:
        return stride[0] == 1
    return images.dim() == 4 and _is_quicker(images, weight, stride[0])


def _is_quicker(images: Tensor, weight: Tensor, stride: int) -> bool:
    """Return whether cuDNN's kernels are known to be quicker for images in NCHW order."""
    samples, channels, _, wide = images.shape
    height, width = weight.shape[2:]
    if height != width or width not in _CUDNN_FILTERS or wide < _LEAST_WIDTH:
        return False
    many = channels >= _STRIDED_CHANNELS or (channels >= _WIDE_CHANNELS and wide >= _WIDE)
    return stride == 1 or (stride == 2 and width > 1 and (many or samples == 1))


def kind_of(filter_size: int, *, last: bool, cudnns: bool, of_weights: bool) -> Kind:
    """Return what the kernel is.

    Args:
        filter_size: Elements of a filter.
        last: Whether it runs in NHWC order.
        cudnns: Whether cuDNN runs it.
        of_weights: Whether it gives the gradient of the weights.
    """
    if last and filter_size > _LARGEST_FILTER:
        return Kind.DEPTHWISE_LARGE
    return _KINDS[last, cudnns, of_weights]


_KINDS = {
    (True, True, False): Kind.DEPTHWISE_LAST,
    (True, True, True): Kind.DEPTHWISE_LAST_WEIGHTS,
    (False, True, False): Kind.DEPTHWISE,
    (False, True, True): Kind.DEPTHWISE_WEIGHTS,
    (False, False, False): Kind.DEPTHWISE_PLAIN,
    (False, False, True): Kind.DEPTHWISE_PLAIN_WEIGHTS,
}
