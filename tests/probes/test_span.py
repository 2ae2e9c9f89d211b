"""What follows from few simulations of a training is what trials of it say."""

from __future__ import annotations

import pytest
from tiny import TinyNet, tiny_bert, tiny_resnet
from torch.nn import functional

from memorymark.errors import UnsupportedOperation
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes import simulated
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import TrainingConfig
from memorymark.units import MIB
from memorymark.workloads.trial_spec import TrialSpec

SMALL = {"seq_len": 16, "image_size": 32}


def probe_with(budget_mib=60):
    return SimulatedProbe(find_gpu("a100-40gb"), budget_bytes=budget_mib * MIB)


def spec_of(workload, batch_size=4, **training):
    return TrialSpec(workload, TrainingConfig(**{**SMALL, **training}), batch_size)


@pytest.fixture
def ran(monkeypatch):
    """The batches that are simulated, and whether as whole steps."""
    found, simulate = [], simulated.simulate

    def counting(spec, *rest, steps=None):
        found.append((spec.batch_size, steps is None))
        return simulate(spec, *rest, steps=steps)

    monkeypatch.setattr(simulated, "simulate", counting)
    return found


@pytest.mark.parametrize("make", [tiny_bert, tiny_resnet])
@pytest.mark.parametrize(
    "training", [{}, {"precision": "amp-bf16"}, {"cudnn_benchmark": True, "grad_clip": 1.0}]
)
def test_each_batch_fits_where_its_trial_does(make, training):
    needed = probe_with(4096).run_trial(spec_of(make(), 150, **training)).peak_reserved_bytes
    gpu, budget = find_gpu("a100-40gb"), needed + MIB
    span = SimulatedProbe(gpu, budget_bytes=budget).span(spec_of(make(), **training))
    span.look_at(400)
    answers = set()
    for batch_size in (1, 4, 30, 60, 90, 120, 200, 350, 420):
        spec = spec_of(make(), batch_size, **training)
        trial = SimulatedProbe(gpu, budget_bytes=budget).run_trial(spec)
        followed = span.follow(batch_size)
        assert followed.fits == trial.fits
        if trial.fits:
            assert followed.peak_allocated_bytes == trial.peak_allocated_bytes
        answers.add(trial.fits)
    assert answers == {True, False}


def test_one_look_takes_one_pass_and_a_trial_of_the_first_batch_nothing(ran):
    probe, spec = probe_with(), spec_of(tiny_bert())
    span = probe.span(spec)
    assert span.reach == 0
    with pytest.raises(UnsupportedOperation, match="Batch 8"):
        span.follow(8)
    span.look_at(200)
    span.follow(100)
    assert span.reach >= 200
    assert probe.run_trial(spec).fits
    assert ran == [(4, True), (200, False)]


def test_another_training_takes_the_growth_of_the_first(ran):
    probe = probe_with()
    first = probe.span(spec_of(tiny_bert()))
    first.look_at(200)
    other = probe.span(spec_of(tiny_bert(), optimizer="sgd"))
    assert other.grow_as(first.growth) and other.reach == first.reach
    trial = probe.run_trial(spec_of(tiny_bert(), 150, optimizer="sgd"))
    assert other.follow(150).peak_allocated_bytes == trial.peak_allocated_bytes
    assert not probe.span(spec_of(tiny_bert(), precision="bf16")).grow_as(first.growth)
    assert [whole for _, whole in ran] == [True, False, True, True, True]


class Kinked(TinyNet):
    """Holds a large tensor more from some batch size on."""

    __module__ = "memorymark.workloads.known"

    def loss(self, model, batch):
        loss = super().loss(model, batch)
        if len(batch["x"]) > 200:
            return loss + functional.pad(batch["x"], (0, 3000)).relu().sum() * 0
        return loss


def test_what_hangs_on_another_kernel_is_not_told_until_it_was_simulated():
    spec = spec_of(Kinked())
    budget = probe_with().run_trial(spec_of(Kinked(), 700)).peak_reserved_bytes
    probe = SimulatedProbe(find_gpu("a100-40gb"), budget_bytes=budget)
    span = probe.span(spec)
    span.look_at(1000)
    unsure = []
    for batch_size in range(100, 1001, 100):
        try:
            found = span.follow(batch_size).fits
        except UnsupportedOperation:
            unsure.append(batch_size)
            found = span.trial_at(batch_size).fits
            assert span.follow(batch_size).fits == found
        expected = SimulatedProbe(find_gpu("a100-40gb"), budget_bytes=budget)
        assert found == expected.run_trial(spec_of(Kinked(), batch_size)).fits
    assert unsure
