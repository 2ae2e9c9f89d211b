"""What a device cannot do, with the reason."""

import pytest

from memorymark.gpus.abilities import why_not
from memorymark.gpus.catalogue import find_gpu, load_catalogue
from memorymark.records.config import Precision


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
