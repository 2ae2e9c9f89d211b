"""Operations are named as people name them."""

import pytest

from memorymark.records.operation_names import is_operation, plain_operation


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("aten._softmax.default", "softmax"),
        ("aten.softmax.int", "softmax"),
        ("aten.addmm.default", "matrix product"),
        ("aten.mul.Tensor", "mul"),
        ("aten.native_layer_norm.default", "layer norm"),
        ("aten.native_layer_norm_backward.default", "layer norm, backward"),
        ("aten.cudnn_batch_norm.default", "batch norm"),
        ("aten.threshold_backward.default", "ReLU, backward"),
        ("aten.convolution_backward.default", "convolution, backward"),
        ("aten._scaled_dot_product_efficient_attention.default", "attention"),
        ("aten._scaled_dot_product_flash_attention_backward.default", "attention, backward"),
        ("aten._log_softmax.default", "loss: log-softmax"),
        ("aten._log_softmax_backward_data.default", "loss: log-softmax, backward"),
        ("aten.nll_loss_forward.default", "loss: negative log-likelihood"),
        ("aten.mse_loss.default", "loss: mse"),
        ("aten._to_copy.default", "copy in another number format"),
        ("aten.upsample_nearest2d.vec", "upsample nearest2d"),
        ("torchvision.nms.default", "nms"),
        ("softmax", "softmax"),
    ],
)
def test_an_operation_in_plain_words(name, said):
    assert plain_operation(name) == said


def test_the_backward_pass_runs_forward_operations_too():
    assert plain_operation("aten.mm.default", backward=True) == "matrix product, backward"
    twice = plain_operation("aten.gelu_backward.default", backward=True)
    assert twice == "GELU, backward"


def test_modules_are_no_operations():
    assert is_operation("aten.mm.default")
    assert not any(map(is_operation, ("encoder.layer.0", "cuBLAS workspace", "optimizer step")))
