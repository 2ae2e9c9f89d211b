"""Traces derived from the simulations of a few batch sizes are those of simulations."""

from __future__ import annotations

import pytest
import torch
from tiny import TinyNet, tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet
from torch.nn import functional

from memorymark.records.config import TrainingConfig
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.families import BatchSizes
from memorymark.simulator.simulate import simulate
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

A100 = Rules(Platform.CUDA, (8, 0))


def simulated(workload, batch_size, **training):
    config = TrainingConfig(**{"seq_len": 16, "image_size": 32, **training})
    spec = TrialSpec(workload, config, batch_size)
    model = build_model(workload, spec.config, torch.device("meta"))
    return simulate(spec, model, A100)


def known(workload, *batch_sizes, **training):
    kept = BatchSizes()
    for batch_size in batch_sizes:
        kept.add(batch_size, simulated(workload, batch_size, **training))
    return kept


def contents(steps):
    blocks = [(b.size_bytes, b.phase, b.path, b.operation, b.category, b.owner)
              for b in steps.trace.blocks]  # fmt: skip
    return (
        blocks, steps.trace.events, steps.trace.marks, steps.works, steps.free_running,
        steps.assumptions, steps.gradient_check, steps.convolutions,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "training"),
    [
        (tiny_bert, {}),
        (tiny_bert, {"precision": "amp-fp16", "gradient_checkpointing": True}),
        (tiny_gpt2, {"precision": "amp-bf16"}),
        (tiny_llama, {"precision": "bf16", "optimizer": "adafactor"}),
        (tiny_resnet, {"gradient_accumulation": 2}),
    ],
)
def test_what_is_derived_is_what_a_simulation_gives(make, training):
    kept = known(make(), 4, 24, 150, **training)
    for batch_size in (5, 100):
        derived = kept.derive(batch_size)
        assert contents(derived) == contents(simulated(make(), batch_size, **training))


def test_two_simulations_are_not_trusted_and_none_beyond_three():
    kept = known(tiny_bert(), 4, 24)
    assert kept.derive(8) is None
    kept.add(12, simulated(tiny_bert(), 12))
    assert kept.derive(8) is not None and kept.is_on_a_line(12)
    assert kept.derive(3) is None and kept.derive(25) is None


class Known(TinyNet):
    """A workload that is not taken for the user's own code, whose steps are all run."""

    __module__ = "memorymark.workloads.known"


class Kinked(Known):
    """Takes another kernel from some batch size on, as an embedding's backward pass does."""

    __module__ = Known.__module__

    def loss(self, model, batch):
        if len(batch["x"]) > 20:
            return super().loss(model, batch) + functional.relu(batch["x"]).sum() * 0
        return super().loss(model, batch)


def test_where_a_kernel_changes_another_line_begins():
    workload = Kinked()
    kept = known(workload, 4, 8, 16, 24, 32, 40)
    for batch_size in (6, 12, 28, 36):
        assert contents(kept.derive(batch_size)) == contents(simulated(workload, batch_size))
    assert kept.derive(18) is None and kept.derive(22) is None


class Padded(Known):
    """Pads its batch to a multiple of eight: no line through batches that are none."""

    __module__ = Known.__module__

    def loss(self, model, batch):
        padded = functional.pad(batch["x"], (0, 0, 0, -len(batch["x"]) % 8))
        return super().loss(model, batch) + padded.sum() * 0


def test_steps_in_the_memory_are_no_line():
    kept = known(Padded(), 4, 13, 27, 50)
    assert kept.derive(20) is None


def test_what_was_derived_is_kept_until_another_simulation_comes():
    kept = known(tiny_bert(), 4, 24, 150)
    derived = kept.derive(100)
    assert kept.derive(100) is derived
    kept.add(120, simulated(tiny_bert(), 120))
    again = kept.derive(100)
    assert again is not derived and contents(again) == contents(derived)
