"""Blocks followed from a small batch to a large one are those of a simulation of that batch."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny import TinyNet, tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet
from torch.nn import functional

from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Stage
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.growth import Growth
from memorymark.simulator.simulate import simulate
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

A100 = Rules(Platform.CUDA, (8, 0))


def simulated(workload, batch_size, **training):
    config = TrainingConfig(**{"seq_len": 16, "image_size": 32, **training})
    return _run(TrialSpec(workload, config, batch_size))


def looked_at(workload, batch_size, **training):
    """One forward and backward pass."""
    config = TrainingConfig(**{"seq_len": 16, "image_size": 32, **training})
    return _run(TrialSpec(workload, config, batch_size, Stage.BACKWARD), steps=1)


def _run(spec, **given):
    model = build_model(spec.workload, spec.config, torch.device("meta"))
    return simulate(spec, model, A100, **given)


def memory(steps):
    sizes = [block.size_bytes for block in steps.trace.blocks]
    return sizes, steps.trace.events, steps.trace.marks, steps.free_running


@pytest.mark.parametrize(
    ("make", "training"),
    [
        (tiny_bert, {}),
        (tiny_bert, {"precision": "amp-fp16", "gradient_checkpointing": True}),
        (tiny_gpt2, {"precision": "amp-bf16", "zero_grad": "before-backward"}),
        (tiny_llama, {"precision": "bf16", "optimizer": "adafactor"}),
        (tiny_resnet, {"gradient_accumulation": 2}),
        (tiny_bert, {"drop_outputs": True, "optimizer": "sgd"}),
    ],
)
@pytest.mark.parametrize("far", [simulated, looked_at])
def test_what_is_followed_is_what_a_simulation_gives(make, training, far):
    small = simulated(make(), 4, **training)
    growth = Growth(4, small, 150, far(make(), 150, **training))
    line = growth.line_of(small)
    for batch_size in (5, 100, 160):
        expected = simulated(make(), batch_size, **training)
        assert memory(line.at(batch_size)) == memory(expected)
        held = expected.free_running.peak_allocated_bytes
        assert 0.95 * held < line.least_peak_bytes(batch_size) <= held
        assert line.slack(batch_size) == (0, 0)


def test_a_training_of_another_optimizer_grows_alike():
    growth = Growth(4, simulated(tiny_bert(), 4), 150, looked_at(tiny_bert(), 150))
    for change in ({"optimizer": "adafactor"}, {"optimizer_impl": "fused"}):
        line = growth.line_of(simulated(tiny_bert(), 4, **change))
        assert memory(line.at(90)) == memory(simulated(tiny_bert(), 90, **change))


@pytest.mark.parametrize("change", [{"precision": "bf16"}, {"gradient_checkpointing": True}])
def test_a_training_of_other_passes_does_not(change):
    growth = Growth(4, simulated(tiny_bert(), 4), 150, looked_at(tiny_bert(), 150))
    assert growth.line_of(simulated(tiny_bert(), 4, **change)) is None


class Kinked(TinyNet):
    """Takes another kernel from some batch size on, as an embedding's backward pass does."""

    __module__ = "memorymark.workloads.known"

    def loss(self, model, batch):
        if len(batch["x"]) > 20:
            return super().loss(model, batch) + functional.relu(batch["x"]).sum() * 0
        return super().loss(model, batch)


def test_blocks_of_another_kernel_are_allowed_for():
    small, large = simulated(Kinked(), 4), simulated(Kinked(), 400)
    growth = Growth(4, small, 400, large)
    near, far = growth.line_of(small), growth.line_from(large)
    assert near.slack(300) != (0, 0)
    for batch_size in (300, 400, 500):
        held = simulated(Kinked(), batch_size).free_running.peak_allocated_bytes
        for line in (near, far):
            too_few, too_many = line.slack(batch_size)
            followed = line.at(batch_size).free_running.peak_allocated_bytes
            assert -too_many <= held - followed <= too_few
    assert far.slack(400) == (0, 0)
    assert memory(far.at(400)) == memory(large)


def test_sizes_below_nothing_cannot_be():
    small = simulated(tiny_bert(), 4)
    line = Growth(4, small, 150, looked_at(tiny_bert(), 150)).line_of(small)
    assert line.at(-100) is None


def test_a_simulation_is_not_changed():
    small = simulated(tiny_bert(), 4)
    before = dataclasses.replace(small, trace=dataclasses.replace(small.trace))
    Growth(4, small, 150, looked_at(tiny_bert(), 150)).line_of(small).at(70)
    assert memory(small) == memory(before)
