"""What a device cannot do, with the reason."""

import pytest

from memorymark.gpus.abilities import cannot_do, why_not
from memorymark.gpus.catalogue import find_gpu, load_catalogue
from memorymark.records.config import Precision, TrainingConfig
from memorymark.records.serving_config import ServingConfig


@pytest.mark.parametrize("gpu", load_catalogue().values(), ids=lambda gpu: gpu.key)
def test_a_precision_is_there_where_the_gpu_has_units_for_it(gpu):
    for precision in Precision:
        has_units = gpu.peak_flops[precision.removeprefix("amp-")] is not None
        assert (why_not("precision", precision, "simulated", gpu) is None) is has_units


def test_the_reason_names_the_gpu_and_what_it_lacks():
    said = why_not("precision", "tf32", "cuda", find_gpu("t4"))
    assert said == "tf32: the T4 has no TF32 units."


@pytest.mark.parametrize(
    ("option", "value"),
    [("precision", "tf32"), ("attention", "flash"), ("cudnn_benchmark", True)],
)
def test_what_needs_cuda_is_not_for_the_cpu(option, value):
    assert why_not(option, value, "cpu")
    assert why_not(option, value, "cuda") is None
    assert why_not("attention", "sdpa", "cpu") is None


@pytest.mark.parametrize("kind", ["cpu", "mps"])
def test_what_a_config_asks_of_cuda_is_named(kind):
    config = TrainingConfig(optimizer="adamw-8bit", expandable_segments=True, precision="tf32")
    said = cannot_do(config, kind)
    assert said == [
        "adamw-8bit: bitsandbytes needs an NVIDIA GPU.",
        "Expandable segments: only CUDA's allocator has them.",
    ]
    assert cannot_do(config, "simulated", find_gpu("m4-16gb")) == said
    assert cannot_do(config, "simulated", find_gpu("t4")) == []
    assert cannot_do(TrainingConfig(optimizer_impl="fused"), kind) == []


def test_apples_gpus_are_no_cuda_devices_when_they_are_simulated():
    m1, m3 = find_gpu("m1-16gb"), find_gpu("m3-16gb")
    assert why_not("attention", "flash", "simulated", m3) == "flash: it needs an NVIDIA GPU."
    assert why_not("precision", "bf16", "simulated", m3) is None
    assert why_not("precision", "bf16", "simulated", m1) == (
        "bf16: the Apple M1 16GB has no BF16 units."
    )


def test_caches_are_not_swapped_to_a_memory_that_is_the_gpus_own():
    swap, hold = ServingConfig(policy="swap"), ServingConfig(policy="hold")
    said = cannot_do(swap, "simulated", find_gpu("m4-16gb"))
    assert said == ["swap: it moves caches to the host's memory, and that is the GPU's own here."]
    assert cannot_do(hold, "simulated", find_gpu("m4-16gb")) == []
    assert cannot_do(swap, "simulated", find_gpu("l4")) == cannot_do(swap, "cpu") == []


def test_the_p100_has_units_for_neither_tf32_nor_bf16():
    p100 = find_gpu("p100")
    assert why_not("precision", "bf16", "simulated", p100) == (
        "bf16: the P100 PCIe 16GB has no BF16 units."
    )
    assert why_not("precision", "tf32", "simulated", p100) is not None
    assert why_not("precision", "amp-fp16", "simulated", p100) is None
