"""Trials on simulated GPUs of Apple's: CUDA's allocator in place of MPS's, which each one says."""

import pytest
from tiny import TinyNet, tiny_bert, tiny_resnet

from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.probes.simulations import Simulations
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome
from memorymark.workloads.trial_spec import TrialSpec

M4, M1 = find_gpu("m4-16gb"), find_gpu("m1-16gb")
SMALL = TrainingConfig(seq_len=16, image_size=32)


def said_of_mps(trial):
    return [sentence for sentence in trial.assumptions if "of MPS are not modelled" in sentence]


@pytest.mark.parametrize("make", [tiny_bert, tiny_resnet, TinyNet])
def test_the_readings_of_a_trial(make):
    trial = SimulatedProbe(M4).run_trial(TrialSpec(make(), SMALL, 8))
    assert trial.outcome is Outcome.OK
    assert trial.capacity_bytes == M4.recommended_bytes
    assert trial.process_bytes is None
    assert trial.breakdown.total == trial.peak_allocated_bytes <= trial.peak_reserved_bytes
    assert len(said_of_mps(trial)) == 1
    assert not any("CUDA context" in said or "cuDNN" in said for said in trial.assumptions)
    assert trial.step_seconds_high / trial.step_seconds_low > 4


def test_a_trial_that_follows_from_others_says_it_too():
    probe, shared = SimulatedProbe(M4), Simulations()
    probe.share(shared)
    workload = tiny_bert()
    trials = [probe.run_trial(TrialSpec(workload, SMALL, size)) for size in (8, 64, 40)]
    assert [len(said_of_mps(trial)) for trial in trials] == [1, 1, 1]


def test_optimizers_step_one_parameter_at_a_time_as_mps_does():
    workload = tiny_bert()
    steps = {
        impl: SimulatedProbe(M4).run_trial(
            TrialSpec(workload, TrainingConfig(seq_len=16, optimizer_impl=impl), 1)
        )
        for impl in ("default", "for-loop", "foreach")
    }
    peaks = {impl: trial.peak_allocated_bytes for impl, trial in steps.items()}
    assert peaks["default"] == peaks["for-loop"] <= peaks["foreach"]


def test_a_format_without_units_is_timed_at_the_fp32_rate_and_says_so():
    config = TrainingConfig(seq_len=16, precision="bf16")
    trial = SimulatedProbe(M1).run_trial(TrialSpec(tiny_bert(), config, 4))
    assert any("Apple M1 16GB has no units for bf16" in said for said in trial.assumptions)


def test_a_training_that_mps_has_no_room_for_does_not_fit():
    free = SimulatedProbe(M4).run_trial(TrialSpec(TinyNet(), SMALL, 64))
    tight = SimulatedProbe(M4, budget_bytes=free.minimum_bytes // 2)
    assert tight.run_trial(TrialSpec(TinyNet(), SMALL, 64)).outcome is Outcome.OOM
