"""A few micro-batches say the same of a step as all of them would."""

from __future__ import annotations

import pytest
import torch
from tiny import TinyNet, tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet

from memorymark.gpus.catalogue import find_gpu
from memorymark.memory.trace import FORWARD
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Stage
from memorymark.simulator import micro_batches
from memorymark.simulator import simulate as simulate_module
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.simulator.time.calibration import CALIBRATION
from memorymark.simulator.time.clock import step_time
from memorymark.simulator.time.speeds import speeds_of
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

SPEEDS = speeds_of(find_gpu("a100-40gb"), CALIBRATION)


def seconds(steps):
    return step_time(steps.works, steps.work_marks, SPEEDS).seconds


def simulated(workload, count, batch_size=4, stage=Stage.STEP, **training):
    config = TrainingConfig(
        gradient_accumulation=count, **{"seq_len": 16, "image_size": 32, **training}
    )
    spec = TrialSpec(workload, config, batch_size, stage)
    model = build_model(workload, config, torch.device("meta"))
    return simulate(spec, model, Rules(Platform.CUDA, (8, 0)))


def micro_batches_in(found):
    starts = [n for n, (phase, _) in enumerate(found.trace.marks) if phase == "step"]
    return [phase for phase, _ in found.trace.marks[: starts[1]]].count(FORWARD)


def read(found):
    free = found.free_running
    return free.peak_allocated_bytes, free.peak_reserved_bytes


@pytest.mark.parametrize(
    ("make", "training"),
    [
        (tiny_bert, {}),
        (tiny_gpt2, {"precision": "amp-fp16", "zero_grad": "after-step"}),
        (tiny_llama, {"precision": "bf16", "gradient_checkpointing": True}),
        (tiny_resnet, {"optimizer": "sgd-momentum"}),
        (tiny_resnet, {"precision": "amp-bf16", "zero_grad": "before-backward"}),
        (tiny_bert, {"stage": Stage.BACKWARD}),
        (tiny_bert, {"stage": Stage.FORWARD_ONLY}),
    ],
)
def test_few_micro_batches_have_the_memory_and_the_time_of_all(make, training, monkeypatch):
    few = simulated(make(), 21, **training)
    assert any("of the step's 21 micro-batches" in told for told in few.assumptions)
    monkeypatch.setattr(micro_batches, "MOST_MICRO_BATCHES", 21)
    whole = simulated(make(), 21, **training)
    assert micro_batches_in(whole) == micro_batches_in(few) == 21
    assert few.trace == whole.trace
    assert few.convolutions == whole.convolutions
    assert read(few) == read(whole)
    assert seconds(few) == pytest.approx(seconds(whole), rel=1e-12)


def test_a_million_micro_batches_take_no_longer_than_a_few():
    found = simulated(tiny_bert(), 1_000_000)
    assert micro_batches_in(found) < 10_000
    assert len(found.trace.events) < 2_000_000
    one = seconds(simulated(tiny_bert(), 1))
    assert seconds(found) > 100_000 * one


@pytest.mark.parametrize(
    ("make", "count", "batch_size"), [(tiny_gpt2, 11, 64), (tiny_resnet, 9, 32)]
)
def test_what_the_allocator_has_cached_depends_on_how_many_there_are(
    make, count, batch_size, monkeypatch
):
    few = simulated(make(), count, batch_size, seq_len=60)
    monkeypatch.setattr(micro_batches, "MOST_MICRO_BATCHES", count)
    whole = simulated(make(), count, batch_size, seq_len=60)
    assert read(few) == read(whole)
    assert read(few) != read(simulated(make(), 8, batch_size, seq_len=60))


@pytest.mark.parametrize(
    ("make", "training"), [(TinyNet, {}), (tiny_bert, {"loop": "trainer"})], ids=["own", "ahead"]
)
def test_what_may_differ_in_each_is_simulated_in_full(make, training):
    found = simulated(make(), 12, **training)
    assert micro_batches_in(found) == 12
    assert not any("micro-batches" in told for told in found.assumptions)


def test_micro_batches_that_are_not_alike_are_simulated_in_full(monkeypatch):
    monkeypatch.setattr(simulate_module, "are_alike", lambda trace: False)
    assert micro_batches_in(simulated(tiny_bert(), 10)) == 10
