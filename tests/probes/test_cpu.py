"""The CPU probe: real steps, memory counted by the tracker, a budget that is really enforced."""

import builtins
import io
from unittest.mock import create_autospec

import pytest
import torch
from tiny import Leaking, Raising, TinyNet, tiny_bert

from memorymark.analysis.search import find_max_batch
from memorymark.errors import InvalidValue, WorkloadError
from memorymark.probes import cpu
from memorymark.probes.cpu import CpuProbe
from memorymark.probes.host_memory import free_memory_bytes
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome, Source, Stage
from memorymark.training.tracked import live_bytes_of
from memorymark.units import GIB, MIB
from memorymark.workloads import resolve
from memorymark.workloads.trial_spec import TrialSpec

CONFIG = TrainingConfig(seq_len=16, image_size=32)
PARAMETERS = live_bytes_of(TinyNet().build(CONFIG))


def test_a_trial_has_the_readings_that_there_are():
    trial = CpuProbe(GIB).run_trial(TrialSpec(TinyNet(), CONFIG, 8))
    assert (trial.outcome, trial.source) == (Outcome.OK, Source.MEASURED)
    assert trial.capacity_bytes == GIB
    assert trial.peak_allocated_bytes == trial.breakdown.total == trial.minimum_bytes
    assert trial.peak_reserved_bytes is None and trial.process_bytes is None
    assert trial.step_seconds > 0 and trial.first_step_seconds > 0
    assert trial.software["torch"] == torch.__version__


def test_two_trials_of_one_batch_agree():
    probe = CpuProbe(GIB)
    first, second = (probe.run_trial(TrialSpec(tiny_bert(), CONFIG, 4)) for _ in range(2))
    assert first.breakdown == second.breakdown


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_runs(stage):
    trial = CpuProbe(GIB).run_trial(TrialSpec(tiny_bert(), CONFIG, 4, stage=stage))
    parts = trial.breakdown
    assert trial.fits and parts.total == trial.peak_allocated_bytes
    assert (parts.gradients > 0) == (stage in (Stage.BACKWARD, Stage.STEP))
    assert (parts.optimizer_states > 0) == (stage is Stage.STEP)
    if stage is Stage.BACKWARD:
        check = trial.gradient_check
        assert check.finite is True and check.missing == ()
        assert check.gradient_bytes == check.trainable_bytes


@pytest.mark.parametrize("optimizer", ["none", "sgd", "sgd-momentum", "adamw"])
def test_states_of_optimizers(optimizer):
    trial = CpuProbe(GIB).run_trial(TrialSpec(TinyNet(), TrainingConfig(optimizer=optimizer), 8))
    copies = {"none": 0, "sgd": 0, "sgd-momentum": 1, "adamw": 2}[optimizer]
    assert trial.breakdown.optimizer_states == copies * PARAMETERS


def test_a_budget_ends_in_a_real_out_of_memory():
    probe = CpuProbe(16 * MIB)
    trial = probe.run_trial(TrialSpec(TinyNet(), CONFIG, 20_000))
    assert trial.outcome is Outcome.OOM
    assert "of 16.0 MiB in use" in trial.error
    assert probe.run_trial(TrialSpec(TinyNet(), CONFIG, 8)).fits


def test_a_model_larger_than_the_budget_is_never_built():
    workload = TinyNet()
    trial = CpuProbe(PARAMETERS - 1).run_trial(TrialSpec(workload, CONFIG, 1))
    assert trial.outcome is Outcome.OOM
    assert workload.built == 1  # without data, to know its size


def test_the_boundary_is_exact():
    probe, workload = CpuProbe(4 * MIB), TinyNet()
    found = find_max_batch(
        lambda n: probe.run_trial(TrialSpec(workload, CONFIG, n)), granularity=1, upper=5000
    )
    largest = found.max_batch_size
    assert probe.run_trial(TrialSpec(workload, CONFIG, largest)).fits
    assert probe.run_trial(TrialSpec(workload, CONFIG, largest + 1)).outcome is Outcome.OOM


def test_a_models_own_error_is_an_outcome():
    probe = CpuProbe(GIB)
    trial = probe.run_trial(TrialSpec(Raising(ValueError("shapes do not match")), CONFIG, 8))
    assert trial.outcome is Outcome.ERROR and trial.error == "ValueError: shapes do not match"
    with pytest.raises(WorkloadError, match="no loss"):
        probe.run_trial(TrialSpec(Raising(WorkloadError("no loss")), CONFIG, 8))
    assert probe.run_trial(TrialSpec(TinyNet(), CONFIG, 8)).fits


def test_what_a_model_keeps_counts():
    plain = CpuProbe(GIB).run_trial(TrialSpec(TinyNet(), CONFIG, 8))
    keeping = CpuProbe(GIB).run_trial(TrialSpec(Leaking(5 * MIB), CONFIG, 8))
    assert keeping.peak_allocated_bytes >= plain.peak_allocated_bytes + 10 * MIB


def test_more_timed_steps():
    calls = []

    class Counting(TinyNet):
        def loss(self, model, batch):
            calls.append(1)
            return super().loss(model, batch)

    CpuProbe(GIB).run_trial(TrialSpec(Counting(), CONFIG, 8, timed_steps=3))
    assert len(calls) == 4


def test_compiled_steps_are_timed_and_their_memory_is_unknown(monkeypatch):
    compile_model = create_autospec(torch.compile, side_effect=lambda model: model)
    monkeypatch.setattr(torch, "compile", compile_model)
    probe, config = CpuProbe(16 * MIB), TrainingConfig(compile=True)
    trial = probe.run_trial(TrialSpec(TinyNet(), config, 8))
    assert trial.fits and trial.config.compile and trial.step_seconds > 0
    assert trial.peak_allocated_bytes is None and trial.breakdown is None
    assert "their memory is unknown" in trial.assumptions[0]
    assert probe.run_trial(TrialSpec(TinyNet(), config, 20_000)).outcome is Outcome.OOM
    assert compile_model.call_count == 1


@pytest.mark.parametrize("batch_size", [0, -1, 65_536, True, 2.0])
def test_batch_sizes_out_of_range_are_refused(batch_size):
    with pytest.raises(InvalidValue):
        CpuProbe(GIB).run_trial(TrialSpec(TinyNet(), CONFIG, batch_size))


def test_the_default_budget_follows_free_memory(monkeypatch):
    for free, budget in ((64 * GIB, 4 * GIB), (3 * GIB, 3 * GIB // 2), (None, 4 * GIB)):
        free_memory = create_autospec(free_memory_bytes, return_value=free)
        monkeypatch.setattr(cpu, "free_memory_bytes", free_memory)
        assert CpuProbe().target.capacity_bytes == budget


def test_free_memory_is_unknown_where_the_system_does_not_say(monkeypatch):
    opened = create_autospec(open, side_effect=FileNotFoundError)
    monkeypatch.setattr(builtins, "open", opened)
    assert free_memory_bytes() is None
    for text, expected in (("MemAvailable:  12 kB\n", 12 * 1024), ("MemFree: 3 kB\n", None)):
        opened.side_effect = [io.StringIO(text)]
        assert free_memory_bytes() == expected
    assert [call.args for call in opened.call_args_list] == [("/proc/meminfo",)] * 3


@pytest.mark.parametrize("model", ["bert", "gpt2", "resnet"])
def test_built_in_models_add_up(model):
    workload = resolve(model)
    config = workload.describe(CONFIG)
    with torch.device("meta"):
        built = workload.build(config)
    parameters = sum(parameter.nbytes for parameter in built.parameters())
    trial = CpuProbe(4 * GIB).run_trial(TrialSpec(workload, config, 2))
    assert trial.breakdown.total == trial.peak_allocated_bytes
    assert trial.breakdown.parameters == parameters
    assert trial.breakdown.optimizer_states == 2 * parameters
    assert trial.breakdown.gradients == parameters


def test_flash_attention_is_refused_in_words():
    config = TrainingConfig(attention="flash", precision="bf16", seq_len=16)
    with pytest.raises(InvalidValue, match="sdpa or eager on the CPU"):
        CpuProbe(GIB).run_trial(TrialSpec(tiny_bert(), config, 2))
