"""Trials on a simulated GPU."""

import dataclasses

import pytest
from tiny import TinyNet, tiny_bert, tiny_resnet

from memorymark.errors import InvalidValue
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome, Source, Stage
from memorymark.units import GIB, MIB
from memorymark.workloads import resolve
from memorymark.workloads.trial_spec import TrialSpec

A100 = find_gpu("a100-40gb")
SMALL = TrainingConfig(seq_len=16, image_size=32)


@pytest.mark.parametrize("make", [tiny_bert, tiny_resnet, TinyNet])
def test_the_readings_of_a_trial(make):
    trial = SimulatedProbe(A100).run_trial(TrialSpec(make(), SMALL, 8))
    assert (trial.outcome, trial.source) == (Outcome.OK, Source.SIMULATED)
    assert trial.breakdown.total == trial.peak_allocated_bytes
    most = trial.peak_reserved_high_bytes or trial.peak_reserved_bytes
    assert trial.peak_allocated_bytes <= trial.minimum_bytes <= most
    assert trial.process_bytes == trial.peak_reserved_bytes + A100.context_bytes
    assert trial.capacity_bytes == A100.total_bytes - A100.context_bytes
    assert trial.step_seconds > 0 and trial.thrashing is False
    assert trial.device == A100.name and trial.holders and trial.timeline.positions
    assert any("estimate" in sentence for sentence in trial.assumptions)


def test_convolutions_are_said_to_be_an_allowance():
    probe = SimulatedProbe(A100)
    convolving, plain = (
        probe.run_trial(TrialSpec(tiny_resnet(), SMALL, 8)),
        probe.run_trial(TrialSpec(TinyNet(), SMALL, 8)),
    )
    assert convolving.convolution_workspace_bytes > 0
    assert any(
        "cuDNN workspaces are an estimate" in sentence for sentence in convolving.assumptions
    )
    low, high = convolving.peak_reserved_low_bytes, convolving.peak_reserved_high_bytes
    assert low < convolving.peak_reserved_bytes < high
    assert plain.convolution_workspace_bytes is None
    assert plain.peak_reserved_low_bytes is None and plain.peak_reserved_high_bytes is None
    assert not any("cuDNN workspaces are an estimate" in sentence for sentence in plain.assumptions)


def test_the_base_decides_whether_convolutions_fit():
    spec = TrialSpec(tiny_resnet(), SMALL, 64)
    free = SimulatedProbe(A100).run_trial(spec)
    tight = SimulatedProbe(A100, budget_bytes=free.minimum_bytes).run_trial(spec)
    assert tight.fits and tight.minimum_bytes == free.minimum_bytes
    assert tight.peak_reserved_low_bytes <= tight.peak_reserved_high_bytes <= free.minimum_bytes
    less = SimulatedProbe(A100, budget_bytes=free.minimum_bytes - 2 * MIB).run_trial(spec)
    assert less.outcome is Outcome.OOM and less.peak_reserved_high_bytes is None


def test_a_benchmark_of_cudnn_may_take_more():
    off, on = (
        SimulatedProbe(A100).run_trial(
            TrialSpec(tiny_resnet(), dataclasses.replace(SMALL, cudnn_benchmark=chosen), 256)
        )
        for chosen in (False, True)
    )
    assert on.convolution_workspace_bytes > off.convolution_workspace_bytes
    assert on.peak_reserved_high_bytes >= on.peak_reserved_bytes
    assert on.minimum_bytes == off.minimum_bytes


def test_a_context_that_is_not_known_is_said_to_be_assumed():
    gpu = find_gpu("v100-16gb")
    assert gpu.context_is_assumed
    trial = SimulatedProbe(gpu).run_trial(TrialSpec(TinyNet(), SMALL, 8))
    assert any("context" in sentence for sentence in trial.assumptions)


@pytest.mark.parametrize(
    ("key", "precision", "said"),
    [("t4", "tf32", True), ("v100-16gb", "amp-bf16", True), ("t4", "fp16", False),
     ("a100-40gb", "bf16", False)],
)  # fmt: skip
def test_a_precision_that_the_gpu_has_no_units_for_is_said(key, precision, said):
    config = dataclasses.replace(SMALL, precision=precision)
    trial = SimulatedProbe(find_gpu(key)).run_trial(TrialSpec(TinyNet(), config, 8))
    assert any(f"no units for {precision}" in text for text in trial.assumptions) is said


def test_a_budget_ends_in_out_of_memory():
    free = SimulatedProbe(A100).run_trial(TrialSpec(tiny_bert(), SMALL, 64))
    budget = free.minimum_bytes
    enough = SimulatedProbe(A100, budget_bytes=budget).run_trial(TrialSpec(tiny_bert(), SMALL, 64))
    assert enough.fits and enough.capacity_bytes == budget
    trial = SimulatedProbe(A100, budget_bytes=budget - 2 * MIB).run_trial(
        TrialSpec(tiny_bert(), SMALL, 64)
    )
    assert trial.outcome is Outcome.OOM
    assert trial.peak_reserved_bytes is None and trial.step_seconds is None
    assert trial.error.startswith("out of memory: the step needs ")
    assert f"{trial.minimum_bytes / GIB:,.2f} GiB" in trial.error


def test_a_budget_beyond_the_gpu_is_the_gpu():
    probe = SimulatedProbe(A100, budget_bytes=10**15)
    assert probe.target.capacity_bytes == A100.usable_bytes


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage(stage):
    trial = SimulatedProbe(A100).run_trial(TrialSpec(tiny_bert(), SMALL, 4, stage=stage))
    parts = trial.breakdown
    assert trial.fits and trial.stage is stage
    assert (parts.gradients > 0) == (stage in (Stage.BACKWARD, Stage.STEP))
    assert (parts.optimizer_states > 0) == (stage is Stage.STEP)
    assert (trial.gradient_check is not None) == (stage is Stage.BACKWARD)
    if stage is Stage.BACKWARD:
        assert trial.gradient_check.finite is None and not trial.gradient_check.missing


def test_the_same_trial_twice_is_the_same():
    probe, workload = SimulatedProbe(A100), tiny_bert()
    first, second = (
        dataclasses.replace(probe.run_trial(TrialSpec(workload, SMALL, 8)), elapsed_seconds=None)
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("batch_size", [0, -1, 65_536, True])
def test_batch_sizes_out_of_range_are_refused(batch_size):
    with pytest.raises(InvalidValue):
        SimulatedProbe(A100).run_trial(TrialSpec(TinyNet(), SMALL, batch_size))


@pytest.mark.parametrize(
    ("batch_size", "dropout", "fits"), [(528, False, True), (536, False, False), (528, True, False)]
)
def test_the_published_row_of_bert(batch_size, dropout, fits):
    config = TrainingConfig(optimizer="none", dropout=dropout)
    assert (
        SimulatedProbe(A100).run_trial(TrialSpec(resolve("bert"), config, batch_size)).fits is fits
    )
