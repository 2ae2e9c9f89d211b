"""Weights of 8 and 4 bits: the bytes of the packages' formats, and what a layer takes beside."""

from __future__ import annotations

import builtins
import copy

import pytest
import torch
from tiny import tiny_gpt2, tiny_llama
from torch import nn
from transformers.pytorch_utils import Conv1D

from memorymark.errors import MissingPackage
from memorymark.memory.tracker import MemoryTracker
from memorymark.records.config import TrainingConfig
from memorymark.records.serving_config import WeightFormat
from memorymark.workloads.quantized import Int8Linear, Nf4Linear, packed_layers, quantize

META = torch.device("meta")
ROWS, COLUMNS = 512, 256


def held_bytes(module):
    return sum(x.nbytes for x in (*module.parameters(), *module.buffers()))


def packages_bytes(module):
    """Bytes of what a package keeps in the place of a weight: its parts, or its state."""
    weight = module.weight
    state = getattr(weight, "quant_state", None)
    if state is not None:
        return weight.nbytes + state.absmax.nbytes + state.code.nbytes
    names, _ = weight.__tensor_flatten__()
    return sum(getattr(weight, name).nbytes for name in names)


def linear(bias=False, device="meta"):
    return nn.Linear(COLUMNS, ROWS, bias=bias, device=device, dtype=torch.bfloat16)


def test_the_bytes_of_each_format():
    assert held_bytes(Int8Linear(linear())) == ROWS * COLUMNS + ROWS * (4 + 1)
    assert held_bytes(Nf4Linear(linear())) == ROWS * COLUMNS // 2 + ROWS * COLUMNS // 64 * 4 + 64
    assert held_bytes(Int8Linear(linear(bias=True))) == ROWS * COLUMNS + ROWS * (4 + 1 + 2)


@pytest.mark.parametrize(
    ("weights", "package", "kind"),
    [("int8", "torchao", Int8Linear), ("int4", "bitsandbytes", Nf4Linear)],
)
def test_they_are_those_of_the_package(weights, package, kind):
    pytest.importorskip(package)
    real = linear(device="cpu")
    model = quantize(nn.Sequential(real), WeightFormat(weights), torch.device("cpu"))
    assert packages_bytes(model[0]) == held_bytes(kind(linear()))
    assert model(torch.ones(1, COLUMNS, dtype=torch.bfloat16)).shape == (1, ROWS)


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("kind", [Int8Linear, Nf4Linear])
def test_a_layer_returns_what_a_linear_one_does_and_unpacks_its_weights(kind, rows):
    layer = kind(linear(bias=True))
    tracker = MemoryTracker("meta")
    with tracker, torch.no_grad():
        x = torch.empty(1, rows, COLUMNS, dtype=torch.bfloat16, device=META)
        before = tracker.live_bytes
        y = layer(x)
    assert y.shape == (1, rows, ROWS) and y.dtype is torch.bfloat16
    whole = 2 * ROWS * COLUMNS
    unpacked = kind is Int8Linear or rows > 1
    assert (tracker.peak_bytes - before >= whole) == unpacked


def test_all_linear_layers_but_the_output_layer_are_quantized():
    model = tiny_llama().build(TrainingConfig(precision="bf16"))
    with torch.device("meta"):
        model = quantize(model.to("meta"), WeightFormat.INT4, META)
    kinds = {type(module) for module in model.model.modules()}
    assert Nf4Linear in kinds and nn.Linear not in kinds
    assert type(model.lm_head) is nn.Linear
    logits = model(torch.ones(1, 4, dtype=torch.long, device=META)).logits
    assert logits.shape == (1, 4, 500)


def test_transposed_layers_are_packed_in_4_bits_alone():
    built = tiny_gpt2().build(TrainingConfig(task="causal-lm", seq_len=8)).to(torch.bfloat16)
    made = {
        weights: quantize(copy.deepcopy(built).to("meta"), WeightFormat(weights), META)
        for weights in ("int4", "int8")
    }
    kinds = {weights: {type(x) for x in model.modules()} for weights, model in made.items()}
    assert Conv1D not in kinds["int4"] and Conv1D in kinds["int8"]
    whole = sum(x.weight.numel() for x in built.modules() if type(x) is Conv1D)
    assert sum(packed_layers(made["int4"])) == whole and packed_layers(made["int8"]) == []
    block = made["int4"].transformer.h[0].mlp
    x = torch.ones(1, 4, block.c_fc.columns, dtype=torch.bfloat16, device=META)
    assert block(x).shape == x.shape


@pytest.mark.parametrize(("weights", "package"), [("int8", "torchao"), ("int4", "bitsandbytes")])
def test_on_a_device_the_package_is_needed(weights, package, monkeypatch):
    found = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackage, match=f"pip install {package}"):
        quantize(nn.Sequential(linear(device="cpu")), WeightFormat(weights), torch.device("cpu"))
