from contextlib import nullcontext

import pytest
import torch
from torch.backends import cuda

from memorymark.records.config import Precision, TrainingConfig
from memorymark.training.runtime import DeviceRuntime

RUNTIME = DeviceRuntime(torch.device("cpu"))


@pytest.mark.parametrize("fails", [False, True])
def test_tf32_is_on_inside_and_put_back(fails):
    before = torch.get_float32_matmul_precision()
    assert before != "high"
    ends = pytest.raises(KeyError) if fails else nullcontext()
    with ends, RUNTIME.settings(TrainingConfig(precision="tf32")):
        assert torch.get_float32_matmul_precision() == "high"
        if fails:
            raise KeyError
    assert torch.get_float32_matmul_precision() == before
    with RUNTIME.settings(TrainingConfig()):
        assert torch.get_float32_matmul_precision() == before


def test_flash_attention_is_the_only_kernel_inside_its_region():
    with RUNTIME.settings(TrainingConfig(attention="flash", precision="bf16")):
        assert cuda.flash_sdp_enabled()
        assert not cuda.math_sdp_enabled() and not cuda.mem_efficient_sdp_enabled()
    assert cuda.math_sdp_enabled() and cuda.mem_efficient_sdp_enabled()
    with RUNTIME.settings(TrainingConfig()):
        assert cuda.math_sdp_enabled()


@pytest.mark.parametrize("precision", list(Precision))
def test_the_gradient_scaler_is_for_amp_fp16_alone(precision):
    scaler = RUNTIME.grad_scaler(precision)
    assert scaler.is_enabled() is (precision is Precision.AMP_FP16)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("amp-bf16", torch.bfloat16), ("amp-fp16", torch.float16), ("bf16", torch.float32)],
)
def test_autocast_is_for_mixed_precision(precision, dtype):
    with RUNTIME.autocast(Precision(precision)):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is dtype


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("chosen", [False, True])
def test_the_benchmark_of_cudnn_is_as_chosen_inside_and_put_back(before, chosen, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", before)
    with RUNTIME.settings(TrainingConfig(cudnn_benchmark=chosen)):
        assert torch.backends.cudnn.benchmark is chosen
    assert torch.backends.cudnn.benchmark is before
