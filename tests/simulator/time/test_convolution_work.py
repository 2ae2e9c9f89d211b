"""The kernels of convolutions, by layout and groups."""

import pytest
import torch

from memorymark.simulator.time import convolution_work
from memorymark.simulator.time.kernels import Kind

HALF = torch.float16


def images(channels=64, size=32, last=False, samples=8):
    order = torch.channels_last if last else torch.contiguous_format
    return torch.empty(
        samples, channels, size, size, dtype=HALF, device="meta", memory_format=order
    )


def forward(channels=64, groups=1, filter_size=3, last=False, bias=None):
    weight = torch.empty(
        channels, channels // groups, filter_size, filter_size, dtype=HALF, device="meta"
    )
    x = images(channels, last=last)
    args = (x, weight, bias, [1, 1], [1, 1], [1, 1], False, [0, 0], groups)
    return convolution_work.forward(args, x)


def backward(channels=64, groups=1, last=False, transposed=False):
    weight = torch.empty(channels, channels // groups, 3, 3, dtype=HALF, device="meta")
    x = images(channels, last=last)
    args = (x, x, weight, [0], [1, 1], [1, 1], [1, 1], transposed, [0, 0], groups)
    return convolution_work.backward(args, (x, weight, None))


def kinds(found):
    return [kernel.kind for kernel in found]


def test_nchw_operands_are_copied_and_nhwc_ones_are_not():
    assert kinds(forward()) == [Kind.LAYOUT, Kind.LAYOUT, Kind.CONVOLUTION]
    assert kinds(forward(last=True)) == [Kind.CONVOLUTION]
    assert kinds(forward(filter_size=1))[:2] == [Kind.POINTWISE_LAYOUT] * 2


def test_a_convolution_is_a_product_over_its_filter():
    (found,) = forward(last=True)
    assert (found.rows, found.columns, found.depth) == (8 * 32 * 32, 64, 64 * 9)


def test_three_channels_are_padded_to_eight():
    weight = torch.empty(64, 3, 7, 7, dtype=HALF, device="meta")
    args = (images(3, last=True), weight, None, [1, 1], [3, 3], [1, 1], False, [0, 0], 1)
    (found,) = convolution_work.forward(args, images(64, last=True))
    assert found.depth == 8 * 49


def test_each_gradient_has_a_kernel_and_the_weights_sum_over_the_images():
    of_images, of_weights = backward(last=True)
    assert (of_images.kind, of_weights.kind) == (Kind.CONVOLUTION, Kind.CONVOLUTION_WEIGHTS)
    assert of_weights.depth == 8 * 32 * 32


@pytest.mark.parametrize(("last", "kind"), [(False, Kind.DEPTHWISE), (True, Kind.DEPTHWISE_LAST)])
def test_depthwise_kernels_copy_nothing(last, kind):
    (found,) = forward(groups=64, last=last)
    assert found.kind is kind and (found.depth, found.batch) == (9, 64)


def test_a_bias_is_added_by_a_kernel_of_its_own():
    bias = torch.empty(64, dtype=HALF, device="meta")
    assert kinds(forward(last=True, bias=bias)) == [Kind.CONVOLUTION, Kind.ELEMENTWISE]
    assert kinds(forward(last=True, groups=64, bias=bias)) == [Kind.DEPTHWISE_LAST]


def test_groups_of_odd_widths_are_slow_in_nhwc_order_only():
    assert Kind.GROUPED_WEIGHTS in kinds(backward(128, 16, last=True))
    assert Kind.GROUPED_LAST_WEIGHTS in kinds(backward(96, 4, last=True))
    assert Kind.GROUPED_WEIGHTS in kinds(backward(96, 4))
