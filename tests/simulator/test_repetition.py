"""A repeated step is the step that a simulation of one more would have given."""

from __future__ import annotations

import pytest
import torch
from tiny import TinyNet, tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet

from memorymark.memory.trace import FORWARD, STEP, Block, Trace
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Stage
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.repetition import (
    can_repeat,
    repeat_last_step,
    with_repeated_kernels,
)
from memorymark.simulator.simulate import simulate
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

TRAININGS = [
    {},
    {"precision": "amp-fp16", "zero_grad": "after-step"},
    {"precision": "amp-bf16", "optimizer": "sgd-momentum", "gradient_accumulation": 2},
    {"optimizer": "adafactor", "zero_grad": "before-backward"},
    {"precision": "bf16", "gradient_checkpointing": True, "optimizer_impl": "for-loop"},
]


def simulated(workload, steps=None, stage=Stage.STEP, batch_size=4, **training):
    config = TrainingConfig(**{"seq_len": 16, "image_size": 32, **training})
    spec = TrialSpec(workload, config, batch_size, stage)
    model = build_model(workload, spec.config, torch.device("meta"))
    return simulate(spec, model, Rules(Platform.CUDA, (8, 0)), steps=steps)


def traced(workload, *args, **options):
    return simulated(workload, *args, **options).trace


def contents(trace):
    blocks = [(b.size_bytes, b.phase, b.path, b.operation, b.category, b.owner)
              for b in trace.blocks]  # fmt: skip
    return trace.events, trace.marks, blocks


@pytest.mark.parametrize(
    ("make", "training"),
    [*((tiny_bert, t) for t in TRAININGS), *((tiny_gpt2, t) for t in TRAININGS[1:3]),
     (tiny_llama, TRAININGS[4]), (tiny_resnet, TRAININGS[0]), (tiny_resnet, TRAININGS[2])],
)  # fmt: skip
def test_a_repeated_step_is_the_one_that_a_simulation_gives(make, training):
    trace = traced(make(), steps=2, **training)
    assert can_repeat(trace)
    repeat_last_step(trace)
    assert contents(trace) == contents(traced(make(), steps=3, **training))


@pytest.mark.parametrize("stage", list(Stage))
def test_stages_repeat_too(stage):
    trace = traced(tiny_bert(), steps=2, stage=stage)
    repeat_last_step(trace)
    assert contents(trace) == contents(traced(tiny_bert(), steps=3, stage=stage))


def test_the_first_step_is_not_repeated():
    assert not can_repeat(traced(tiny_bert(), steps=1))


def test_a_simulation_runs_no_step_that_it_can_repeat():
    found = simulated(tiny_bert(), batch_size=150)
    assert found.steps_run == 2
    assert [phase for phase, _ in found.trace.marks].count(STEP) == 3


def test_the_kernels_of_convolutions_are_repeated_too():
    two, three = (simulated(tiny_resnet(), steps=steps) for steps in (2, 3))
    repeat_last_step(two.trace)
    kernels = with_repeated_kernels(two.convolutions, two.trace, 2)
    assert kernels == three.convolutions and len(kernels) > len(two.convolutions) > 0


def test_the_users_own_code_is_run_until_the_peak_is_steady():
    class Growing(TinyNet):
        runs_own_code = True
        kept = 0

        def loss(self, model, batch):
            type(self).kept += self.kept < 3
            self.held = torch.empty(self.kept * 2**24, device="meta")
            return super().loss(model, batch)

    trace = traced(Growing())
    assert max(size for _, size in trace.events) == 3 * 4 * 2**24


def test_a_step_that_leaves_other_blocks_than_it_found_is_not_repeated():
    trace = Trace()
    for size in (1000, 2000, 2000):
        trace.mark(STEP)
        trace.allocate(Block(size, FORWARD, "", "empty"))
        if len(trace.blocks) > 1:
            trace.release(len(trace.blocks) - 2)
        expected = len(trace.blocks) == 3
        assert can_repeat(trace) is expected
    repeat_last_step(trace)
    assert trace.events[-2:] == [(3, 2000), (2, -2000)]
