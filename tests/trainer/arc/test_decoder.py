"""Between two tasks a model is as before, bit by bit, and LoRA leaves its base alone."""

from __future__ import annotations

import pytest
import torch
from arc_worlds import job_of

from memorymark.data.arc.leave_one_out import LeaveOneOut
from memorymark.probes.cpu import CpuProbe
from memorymark.records.arc_plan import ArcPlan
from memorymark.trainer.arc.decoder import adapted
from memorymark.trainer.training import Training
from memorymark.units import MIB
from memorymark.workloads.build import build_model

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _home(home):
    """A home of its own, and one thread."""


def decoder_of(**plan):
    job = job_of(ArcPlan(generated=1, steps=3, learning_rate=0.01, **plan))
    base = build_model(job.workload, job.whole, CPU)
    before = {name: each.detach().clone() for name, each in base.named_parameters()}
    return job, before, adapted(base, job.workload, job.config, CPU)


def state(model):
    return {name: each.detach().clone() for name, each in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def trained(job, decoder):
    samples = LeaveOneOut(job.tasks[0], 100, job.config.seq_len, seed=1)
    training = Training(job.training(samples), CpuProbe(64 * MIB), model=decoder.model)
    for _ in range(3):
        training.run_step(3)


@pytest.mark.parametrize("all_weights", [False, True])
def test_a_reset_puts_back_every_bit(all_weights):
    job, _, decoder = decoder_of(all_weights=all_weights)
    before = state(decoder.model)
    trained(job, decoder)
    assert not same(before, state(decoder.model))
    decoder.reset()
    assert same(before, state(decoder.model))
    assert all(each.grad is None for each in decoder.model.parameters())


def test_lora_changes_no_weight_of_the_base():
    job, before, decoder = decoder_of()
    trained(job, decoder)
    after = {
        name.replace(".base_layer.", "."): each
        for name, each in decoder.model.named_parameters()
        if "lora_" not in name
    }
    assert same(before, after)
    adapters = decoder.trained()
    assert all("lora_" in name for name in adapters)
    assert 0 < decoder.trainable == sum(each.numel() for each in adapters.values())
    assert decoder.parameters == decoder.trainable + sum(each.numel() for each in before.values())
    assert any(bool(each.any()) for name, each in adapters.items() if "lora_B" in name)
    assert decoder.findings[0].startswith("LoRA of rank 8 trains")
