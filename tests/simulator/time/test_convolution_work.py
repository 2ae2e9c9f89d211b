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


def forward(channels=64, groups=1, filter_size=3, last=False, bias=None, x=None):
    weight = torch.empty(
        channels, channels // groups, filter_size, filter_size, dtype=HALF, device="meta"
    )
    x = images(channels, last=last) if x is None else x
    args = (x, weight, bias, [1, 1], [1, 1], [1, 1], False, [0, 0], groups)
    return convolution_work.forward(args, x)


def backward(channels=64, groups=1, last=False, transposed=False, filter_size=3, dilation=1):
    weight = torch.empty(
        channels, channels // groups, filter_size, filter_size, dtype=HALF, device="meta"
    )
    x = images(channels, last=last)
    args = (x, x, weight, [0], [1, 1], [1, 1], [dilation] * 2, transposed, [0, 0], groups)
    return convolution_work.backward(args, (x, weight, None))


def kinds(found):
    return [kernel.kind for kernel in found]


def test_nchw_operands_are_copied_and_nhwc_ones_are_not():
    assert kinds(forward()) == [Kind.LAYOUT, Kind.LAYOUT, Kind.CONVOLUTION]
    assert kinds(forward(last=True)) == [Kind.CONVOLUTION]


def test_a_filter_of_one_element_needs_copies_for_its_gradients_only():
    assert kinds(forward(filter_size=1)) == [Kind.CONVOLUTION]
    assert kinds(backward(filter_size=1)) == [
        Kind.LAYOUT_BACKWARD, Kind.LAYOUT_BACKWARD, Kind.CONVOLUTION,
        Kind.LAYOUT_BACKWARD, Kind.CONVOLUTION_WEIGHTS,
    ]  # fmt: skip


def test_an_operand_in_another_order_than_the_filters_is_copied_first():
    half = images(128)[:, ::2]
    assert kinds(forward(x=half))[0] is Kind.TRANSPOSE
    assert kinds(forward(x=images(128, last=True)[:, :64]))[0] is Kind.TRANSPOSE
    assert Kind.TRANSPOSE not in kinds(forward()) + kinds(forward(last=True))


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
    assert kinds(forward(last=True, groups=64, bias=bias))[1:] == [Kind.ELEMENTWISE]


def test_pytorchs_own_depthwise_kernel_adds_the_bias_itself():
    bias = torch.empty(64, dtype=HALF, device="meta")
    assert kinds(forward(groups=64, filter_size=7, bias=bias)) == [Kind.DEPTHWISE_PLAIN]


@pytest.mark.parametrize(
    ("width", "groups", "dilation", "quick"),
    [
        (8, 32, 1, True), (32, 64, 1, True), (4, 64, 1, True),
        (24, 32, 1, False), (64, 32, 1, False), (32, 2, 1, False), (8, 32, 2, False),
    ],
)  # fmt: skip
def test_in_nhwc_order_only_some_groups_have_quick_kernels_for_their_weights(
    width, groups, dilation, quick
):
    of_weights = backward(width * groups, groups, last=True, dilation=dilation)[-1]
    assert of_weights.kind is (Kind.GROUPED_WEIGHTS if quick else Kind.GROUPED_DIRECT_WEIGHTS)
    assert (of_weights.rows, of_weights.columns) == (width, 9 * width)
    plain = backward(width * groups, groups, dilation=dilation)[-1]
    assert plain.kind is Kind.GROUPED_WEIGHTS


def test_groups_that_take_more_channels_than_they_give_have_no_quick_kernels():
    x, y = images(64, last=True), images(128, last=True)
    weight = torch.empty(128, 2, 3, 3, dtype=HALF, device="meta")
    args = (y, x, weight, [0], [1, 1], [1, 1], [1, 1], False, [0, 0], 32)
    assert convolution_work.backward(args, (x, weight, None))[-1].kind is (
        Kind.GROUPED_DIRECT_WEIGHTS
    )


def test_groups_in_nhwc_order_are_padded_to_a_power_of_two():
    (last,), plain = forward(96, 4, last=True), forward(96, 4)[-1]
    assert (last.columns, last.depth) == (32, 32 * 9)
    assert (plain.columns, plain.depth) == (24, 24 * 9)
