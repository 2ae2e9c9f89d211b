import sys

import pytest
import torch
from torch import nn

from memorymark.errors import InvalidValue, MissingPackage
from memorymark.records.config import Optimizer, TrainingConfig
from memorymark.training.optimizers import build_optimizer, state_tensors
from memorymark.training.runtime import DeviceRuntime

RUNTIME = DeviceRuntime(torch.device("cpu"))
REAL = [o for o in Optimizer if o not in (Optimizer.NONE, Optimizer.ADAMW_8BIT)]


def built(model, optimizer, **options):
    config = TrainingConfig(optimizer=optimizer, **options)
    return build_optimizer(config, model.parameters(), RUNTIME)


def trained_layer():
    layer = nn.Linear(8, 8)
    layer(torch.rand(4, 8)).square().sum().backward()
    return layer


@pytest.mark.parametrize("impl", ["default", "foreach", "for-loop"])
@pytest.mark.parametrize("optimizer", REAL)
def test_every_optimizer_steps(optimizer, impl):
    layer = trained_layer()
    before = layer.weight.clone()
    optimizer = built(layer, optimizer, optimizer_impl=impl)
    optimizer.step()
    assert not torch.equal(before, layer.weight) and layer.weight.isfinite().all()


def test_none_is_none():
    assert built(nn.Linear(2, 2), "none") is None
    assert list(state_tensors(None)) == []


@pytest.mark.parametrize("optimizer", ["rmsprop", "adafactor"])
def test_fused_where_there_is_none(optimizer):
    with pytest.raises(InvalidValue, match=r"fused exists for sgd.*adamw"):
        built(nn.Linear(2, 2), optimizer, optimizer_impl="fused")


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adagrad"])
def test_fused_where_there_is_one(optimizer):
    assert built(nn.Linear(2, 2), optimizer, optimizer_impl="fused").defaults["fused"] is True


def test_eight_bits_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(MissingPackage, match="pip install bitsandbytes"):
        built(nn.Linear(2, 2), "adamw-8bit")


def test_frozen_parameters_are_left_out():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    (group,) = built(layer, "sgd").param_groups
    assert len(group["params"]) == 1 and group["params"][0] is layer.weight


def test_states_by_parameter_without_counters():
    layer = trained_layer()
    optimizer = built(layer, "adamw")
    optimizer.step()
    states = list(state_tensors(optimizer))
    both = [layer.weight.shape, layer.bias.shape]
    assert [state.shape for _, state in states] == [shape for shape in both for _ in range(2)]
    assert [parameter.shape for parameter, _ in states] == [state.shape for _, state in states]
