"""Which kernels run a depthwise convolution."""

import pytest
import torch

from memorymark.simulator.time.depthwise_work import is_cudnns, kind_of
from memorymark.simulator.time.kernels import Kind


def cudnns(
    channels=64, size=28, filter_size=3, stride=1, dilation=1, dtype=torch.float16, last=False
):
    images = torch.empty(8, channels, size, size, dtype=dtype, device="meta")
    weight = torch.empty(channels, 1, filter_size, filter_size, dtype=dtype, device="meta")
    return is_cudnns(images, weight, [stride] * 2, [dilation] * 2, last=last)


def test_in_nhwc_order_it_is_always_cudnn():
    assert cudnns(filter_size=7, dtype=torch.float32, last=True)


@pytest.mark.parametrize(
    "options",
    [
        {"filter_size": 7}, {"dilation": 2}, {"channels": 16}, {"size": 6}, {"stride": 3},
        {"stride": 2}, {"stride": 2, "channels": 256, "size": 14},
        {"dtype": torch.float32}, {"dtype": torch.bfloat16},
    ],
)  # fmt: skip
def test_in_nchw_order_pytorchs_kernel_runs_what_cudnn_is_not_quicker_at(options):
    assert cudnns() and not cudnns(**options)


def test_with_a_stride_of_two_cudnn_runs_many_channels():
    assert cudnns(stride=2, channels=512, size=14)
    assert cudnns(stride=2, channels=256, filter_size=5)


@pytest.mark.parametrize(("stride", "expected"), [(1, True), (2, False)])
def test_along_one_dimension_cudnn_runs_any_filter_without_a_stride(stride, expected):
    x = torch.empty(8, 64, 100, dtype=torch.float16, device="meta")
    weight = torch.empty(64, 1, 4, dtype=torch.float16, device="meta")
    assert is_cudnns(x, weight, [stride], [1], last=False) is expected


def test_a_kernel_is_named_by_its_order_its_library_and_its_filter():
    def kind(filter_size=9, **options):
        return kind_of(
            filter_size, **{"last": False, "cudnns": True, "of_weights": False, **options}
        )

    assert kind() is Kind.DEPTHWISE
    assert kind(cudnns=False, of_weights=True) is Kind.DEPTHWISE_PLAIN_WEIGHTS
    assert kind(49, last=True) is Kind.DEPTHWISE_LAST
    assert kind(81, last=True) is kind(81, last=True, of_weights=True) is Kind.DEPTHWISE_LARGE
