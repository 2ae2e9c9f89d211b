"""From words to the probe that runs the trials."""

from unittest.mock import create_autospec

import pytest
import torch

from memorymark.errors import DeviceError, UnknownChoice
from memorymark.probes import choose
from memorymark.records.trial import Source
from memorymark.units import GIB


def answer(monkeypatch, module, **values):
    """Let functions of torch answer with a value, their arguments checked all the same."""
    for name, value in values.items():
        stand_in = create_autospec(getattr(module, name), return_value=value)
        monkeypatch.setattr(module, name, stand_in)


@pytest.fixture
def no_cuda(monkeypatch):
    answer(monkeypatch, torch.cuda, is_available=False)


@pytest.mark.parametrize(
    "word",
    ["cuda:", "cuda:x", "cuda:-1", "cuda:１", "cuda:" + "9" * 5000, "cpu:1", "mps:2", "", "tpu"],
)
def test_what_is_no_device(word):
    with pytest.raises(UnknownChoice):
        choose.parse_device(word)


def test_devices_by_name():
    assert choose.parse_device("CUDA:2 ") == ("cuda", 2)
    assert choose.parse_device("cpu") == ("cpu", 0)
    assert choose.parse_device("mps:0") == ("mps", 0)


def test_an_empty_name_is_none():
    with pytest.raises(UnknownChoice):
        choose.resolve_probe("")
    with pytest.raises(UnknownChoice):
        choose.resolve_probe(gpu="")
    with pytest.raises(UnknownChoice):
        choose.measuring_probe("")


def test_absent_devices_are_said_plainly(monkeypatch, no_cuda):
    with pytest.raises(DeviceError, match=r"No CUDA device is available: torch .* device cpu"):
        choose.resolve_probe("cuda")
    answer(monkeypatch, torch.backends.mps, is_available=False)
    with pytest.raises(DeviceError, match="No MPS device is available"):
        choose.resolve_probe("mps")


def test_a_card_beyond_those_that_are_there(monkeypatch):
    answer(monkeypatch, torch.cuda, is_available=True, device_count=2)
    with pytest.raises(DeviceError, match="no device cuda:2; available: cuda:0, cuda:1"):
        choose.resolve_probe("cuda:2")


def test_cpu_with_a_budget():
    target = choose.resolve_probe("cpu", memory_budget=GIB).target
    assert (target.kind, target.capacity_bytes) == ("cpu", GIB)


def test_a_gpu_is_simulated_and_a_device_is_not(no_cuda):
    simulated = choose.resolve_probe(gpu="A10", memory_budget=4 * GIB).target
    assert (simulated.source, simulated.gpu_key) == (Source.SIMULATED, "a10")
    assert simulated.capacity_bytes == 4 * GIB
    assert choose.resolve_probe().target.source is Source.SIMULATED


def test_without_a_name_the_best_device_is_measured(monkeypatch, no_cuda):
    answer(monkeypatch, torch.backends.mps, is_available=False)
    assert choose.measuring_probe().target.kind == "cpu"


def test_devices_that_are_there(monkeypatch):
    import memorymark.probes.cuda as cuda_module
    import memorymark.probes.mps as mps_module

    made = []
    answer(monkeypatch, torch.cuda, is_available=True, device_count=2)
    answer(monkeypatch, torch.backends.mps, is_available=True)
    for module, name in ((cuda_module, "CudaProbe"), (mps_module, "MpsProbe")):
        note = lambda *given, name=name, **named: made.append((name, given, named))  # noqa: E731
        stand_in = create_autospec(getattr(module, name), side_effect=note)
        monkeypatch.setattr(module, name, stand_in)
    choose.resolve_probe(memory_budget=GIB)
    choose.resolve_probe("cuda:1")
    choose.measuring_probe()
    choose.resolve_probe("mps")
    assert made == [
        ("CudaProbe", (0,), {"budget_bytes": GIB}),
        ("CudaProbe", (1,), {"budget_bytes": None}),
        ("CudaProbe", (0,), {"budget_bytes": None}),
        ("MpsProbe", (), {"budget_bytes": None}),
    ]
