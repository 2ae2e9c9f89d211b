"""The allowance for cuDNN's workspaces."""

import pytest
import torch

from memorymark.simulator.cuda.convolutions import is_convolution, workspace_bytes
from memorymark.simulator.cuda.rules import Platform, Rules

FORWARD = torch.ops.aten.convolution.default
BACKWARD = torch.ops.aten.convolution_backward.default
V100, T4, A100 = (Rules(Platform.CUDA, c) for c in ((7, 0), (7, 5), (8, 0)))


def forward(dtype=torch.float32, groups=1, channels_last=False):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.empty(2, 8, 16, 16, dtype=dtype, device="meta").to(memory_format=layout)
    weight = torch.empty(8, 8 // groups, 3, 3, dtype=dtype, device="meta")
    args = (x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], groups)
    return args, x.clone()


def allowance(rules, **options):
    args, output = forward(**options)
    return workspace_bytes(FORWARD, args, output, rules)


def test_tensor_cores_work_on_copies_in_nhwc_order():
    args, output = forward()
    assert allowance(A100) == args[0].nbytes + args[1].nbytes + output.nbytes


@pytest.mark.parametrize(
    ("rules", "options"),
    [
        (Rules(Platform.CPU), {}),
        (T4, {}),
        (V100, {}),
        (A100, {"channels_last": True}),
        (A100, {"groups": 8}),
    ],
)
def test_where_there_is_none(rules, options):
    assert allowance(rules, **options) == 0


def test_fp16_uses_tensor_cores_before_ampere():
    assert allowance(V100, dtype=torch.float16) > 0


def test_the_backward_pass_reads_three_operands():
    (x, weight, *_), gradient = forward()
    args = (gradient, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True] * 3)
    assert is_convolution(BACKWARD)
    expected = gradient.nbytes + x.nbytes + weight.nbytes
    assert workspace_bytes(BACKWARD, args, (x, weight, None), A100) == expected
