"""From words to the probe that runs the trials."""

import pytest
import torch

from memorymark.errors import DeviceError, InvalidValue, UnknownChoice, UsageError
from memorymark.probes import choose
from memorymark.records.trial import Source
from memorymark.units import GIB


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("word", ["cuda:", "cuda:x", "cuda:-1", "cpu:1", "mps:2", "", "tpu"])
def test_what_is_no_device(word):
    with pytest.raises(UnknownChoice):
        choose.parse_device(word)


def test_devices_by_name():
    assert choose.parse_device("CUDA:2 ") == ("cuda", 2)
    assert choose.parse_device("cpu") == ("cpu", 0)
    assert choose.parse_device("mps:0") == ("mps", 0)


def test_absent_devices_are_said_plainly(monkeypatch, no_cuda):
    with pytest.raises(DeviceError, match=r"No CUDA device is available: torch .* device cpu"):
        choose.resolve_probe("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="No MPS device is available"):
        choose.resolve_probe("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DeviceError, match="no device cuda:2; available: cuda:0, cuda:1"):
        choose.resolve_probe("cuda:2")


def test_cpu_with_a_budget():
    target = choose.resolve_probe("cpu", memory_budget="1GiB").target
    assert (target.kind, target.capacity_bytes) == ("cpu", GIB)


def test_a_gpu_is_simulated_and_a_device_is_not(no_cuda):
    simulated = choose.resolve_probe(gpu="A10", memory_budget="4GiB").target
    assert (simulated.source, simulated.gpu_key) == (Source.SIMULATED, "a10")
    assert simulated.capacity_bytes == 4 * GIB
    assert choose.resolve_probe().target.source is Source.SIMULATED
    with pytest.raises(UsageError, match="Both"):
        choose.resolve_probe("cpu", "a10")


@pytest.mark.parametrize("given", ["", "4 apples", 0, -1, True])
def test_budgets_that_are_none(given):
    with pytest.raises(InvalidValue):
        choose.parse_budget(given)


def test_budgets():
    assert choose.parse_budget(None) is None
    assert choose.parse_budget("2GiB") == choose.parse_budget(2 * GIB) == 2 * GIB


def test_without_a_name_the_best_device_is_measured(monkeypatch, no_cuda):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose.measuring_probe().target.kind == "cpu"


def test_devices_that_are_there(monkeypatch):
    import memorymark.probes.cuda as cuda_module
    import memorymark.probes.mps as mps_module

    made = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(cuda_module, "CudaProbe", lambda *a, **k: made.append(("cuda", a, k)))
    monkeypatch.setattr(mps_module, "MpsProbe", lambda *a, **k: made.append(("mps", a, k)))
    choose.resolve_probe(memory_budget=GIB)
    choose.resolve_probe("cuda:1")
    choose.measuring_probe()
    choose.resolve_probe("mps")
    assert made == [
        ("cuda", (0,), {"budget_bytes": GIB}),
        ("cuda", (1,), {"budget_bytes": None}),
        ("cuda", (0,), {"budget_bytes": None}),
        ("mps", (), {"budget_bytes": None}),
    ]
