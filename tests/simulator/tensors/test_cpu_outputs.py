"""Outputs on the CPU are as large without data as with it."""

import itertools

import pytest
import torch
from torch import nn

from memorymark.memory.tracker import MemoryTracker
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.session import simulating
from memorymark.simulator.tensors.shapes import ShapeCache


def sizes(module, x, follower):
    with follower, torch.no_grad():
        module(x)
    return [size for _, size in follower.trace.events if size > 0]


def norms():
    plain = [
        nn.LayerNorm(8), nn.LayerNorm(8, elementwise_affine=False), nn.BatchNorm2d(4),
        nn.BatchNorm2d(4, affine=False),
    ]  # fmt: skip
    formats = (torch.float32, torch.bfloat16)
    return list(itertools.product(plain, formats, (torch.float32, None), (True, False)))


@pytest.mark.parametrize(("module", "dtype", "weights", "training"), norms())
def test_what_a_normalization_hands_on_is_as_large(module, dtype, weights, training):
    module = module.to(weights or dtype).train(training)
    x = torch.rand(3, 4, 6, 8).to(dtype)
    if weights is not None and isinstance(module, nn.LayerNorm) and module.weight is None:
        pytest.skip("without weights there is no other format")
    real = sizes(module, x, MemoryTracker("cpu"))
    with simulating(Rules(Platform.CPU)) as session:
        follower = SimulatedDevice(session, ShapeCache())
        without = sizes(module.to("meta"), x.to("meta"), follower)
    module.to_empty(device="cpu")
    assert without == real
