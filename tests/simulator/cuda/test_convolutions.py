"""The kernels of convolutions and the workspaces that they may borrow."""

import pytest
import torch

from memorymark.simulator.cuda.convolutions import Convolutions, in_cudnn_order, is_convolution
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.units import MIB

FORWARD = torch.ops.aten.convolution.default
BACKWARD = torch.ops.aten.convolution_backward.default
V100, T4, A100 = (Rules(Platform.CUDA, c) for c in ((7, 0), (7, 5), (8, 0)))
CPU = Rules(Platform.CPU)


def forward(dtype=torch.float32, groups=1, channels_last=False, size=3):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.empty(2, 8, 16, 16, dtype=dtype, device="meta").to(memory_format=layout)
    weight = torch.empty(8, 8 // groups, size, size, dtype=dtype, device="meta")
    args = (x, weight, None, [1, 1], [size // 2] * 2, [1, 1], False, [0, 0], groups)
    return args, x.clone()


def backward(**options):
    (x, weight, _, *rest), gradient = forward(**options)
    return (gradient, x, weight, None, *rest, [True] * 3), (x, weight)


def noted(rules, func=FORWARD, **options):
    args, results = forward(**options) if func is FORWARD else backward(**options)
    convolutions = Convolutions(rules)
    for result in [results] if func is FORWARD else results:
        convolutions.note(func, args, result, 0)
    return convolutions.kernels


def test_a_matrix_product_may_copy_its_operands_in_nhwc_order():
    (x, weight, *_), output = forward(size=1)
    (kernel,) = noted(A100, size=1)
    assert kernel.pointwise_bytes == x.nbytes + weight.nbytes + output.nbytes
    assert kernel.gradient_bytes == 0
    (kernel,) = noted(A100, size=3)
    assert kernel.pointwise_bytes == 0


def test_each_kernel_of_the_backward_pass_may_copy_half_of_what_it_holds():
    (gradient, x, weight, *_), _ = backward()
    kernels = noted(A100, BACKWARD)
    assert is_convolution(BACKWARD) and len(kernels) == 2
    for kernel in kernels:
        assert kernel.is_backward and kernel.is_first
        assert kernel.gradient_bytes == (gradient.nbytes + x.nbytes + weight.nbytes) // 2


@pytest.mark.parametrize(("rules", "options"), [(CPU, {}), (A100, {"groups": 8})])
def test_where_cudnn_does_not_run(rules, options):
    assert noted(rules, **options) == noted(rules, BACKWARD, **options) == []


@pytest.mark.parametrize(
    ("rules", "options"),
    [(T4, {}), (V100, {}), (A100, {"channels_last": True})],
)
def test_where_nothing_needs_a_copy(rules, options):
    kernels = noted(rules, size=1, **options) + noted(rules, BACKWARD, size=1, **options)
    assert len(kernels) == 3
    assert {kernel.pointwise_bytes + kernel.gradient_bytes for kernel in kernels} == {0}
    assert all(kernel.largest_bytes > 0 for kernel in kernels)


def test_depthwise_in_nhwc_order_is_cudnns():
    (kernel,) = noted(A100, groups=8, channels_last=True)
    assert not kernel.copies


def test_fp16_uses_tensor_cores_before_ampere():
    (kernel,) = noted(V100, dtype=torch.float16, size=1)
    assert kernel.pointwise_bytes > 0


def test_a_benchmark_may_try_a_transform_of_the_operands():
    (product,), (filtered,) = noted(A100, size=1), noted(A100, size=3)
    assert product.largest_bytes == product.operand_bytes
    assert filtered.largest_bytes == filtered.operand_bytes * 9 // 4


def separable(rules, *, channels=32, size=3, dtype=torch.float32, between=(16, 16), batch=2):
    """A first convolution, then a depthwise one, forward and backward."""
    x = torch.empty(batch, channels, 16, 16, dtype=dtype, device="meta")
    images = torch.empty(batch, channels, *between, dtype=dtype, device="meta")
    full = torch.empty(channels, channels, 3, 3, dtype=dtype, device="meta")
    depthwise = torch.empty(channels, 1, size, size, dtype=dtype, device="meta")
    rest = [[1, 1], [size // 2] * 2, [1, 1], False, [0, 0], channels]
    convolutions = Convolutions(rules)
    convolutions.note(FORWARD, (x, full, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1), x, 1)
    convolutions.note(FORWARD, (images, depthwise, None, *rest), images, 2)
    for result in (images, depthwise):
        args = (images, images, depthwise, None, *rest, [True] * 3)
        convolutions.note(BACKWARD, args, result, 3)
    return [k for k in convolutions.kernels if k.unfolds], images


def test_a_separable_block_may_hold_the_first_result_unfolded_in_the_backward_pass():
    (kernel,), images = separable(A100)
    assert kernel.unfolded_bytes == 9 * images.nbytes
    assert kernel.position == 3 and kernel.is_backward and not kernel.is_first
    assert kernel.pointwise_bytes == kernel.gradient_bytes == kernel.largest_bytes == 0


@pytest.mark.parametrize(
    "options",
    [{"channels": 16}, {"size": 7}, {"dtype": torch.float16}, {"between": (8, 8)}],
)
def test_other_depthwise_convolutions_unfold_nothing(options):
    assert separable(A100, **options)[0] == separable(V100)[0] == []


def test_what_is_unfolded_has_a_limit():
    (kernel,), images = separable(A100, batch=2500)
    assert 9 * images.nbytes < 760 * MIB and kernel.unfolded_bytes == 9 * images.nbytes
    (kernel,), _ = separable(A100, batch=2800)
    assert kernel.unfolded_bytes == 0


def test_a_shape_is_new_only_once():
    convolutions = Convolutions(A100)
    for options in ({}, {}, {"size": 1}):
        args, output = forward(**options)
        convolutions.note(FORWARD, args, output, 0)
    args, results = backward()
    for result in (*results, *results):
        convolutions.note(BACKWARD, args, result, 0)
    firsts = [kernel.is_first for kernel in convolutions.kernels]
    assert firsts == [True, False, True, True, True, False, False]


@pytest.mark.parametrize(
    ("rules", "channels_last", "dtype", "expected"),
    [(A100, True, torch.float32, True), (A100, False, torch.float32, False),
     (A100, True, torch.float64, False), (CPU, True, torch.float32, False)],
)  # fmt: skip
def test_the_output_is_in_the_order_that_cudnn_gives_it(rules, channels_last, dtype, expected):
    args, _ = forward(channels_last=channels_last, dtype=dtype)
    output = FORWARD(*args)
    assert output.is_contiguous(), "PyTorch's rule without data now knows the order"
    ordered = in_cudnn_order(FORWARD, args, output, rules)
    assert ordered.shape == output.shape
    assert ordered.is_contiguous(memory_format=torch.channels_last) is expected
