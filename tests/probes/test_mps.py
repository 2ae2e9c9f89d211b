"""The MPS probe on a stand-in for torch.mps."""

from unittest.mock import create_autospec

import pytest
import torch
from fake_accelerators import FakeMps, run_on_mps
from tiny import Raising, TinyNet

from memorymark.probes import mps as module
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome, Stage
from memorymark.training.tracked import live_bytes_of
from memorymark.units import GIB, MIB

CONFIG = TrainingConfig()
PARAMETERS = live_bytes_of(TinyNet().build(CONFIG))


def test_a_trial_has_the_readings_that_there_are():
    mps = FakeMps()
    trial = run_on_mps(mps, TinyNet(), CONFIG, 8)
    assert trial.fits and trial.capacity_bytes == GIB
    assert trial.peak_allocated_bytes == trial.breakdown.total > 4 * PARAMETERS
    assert trial.peak_reserved_bytes >= 4 * MIB
    assert trial.breakdown.parameters == PARAMETERS
    assert trial.breakdown.optimizer_states == 2 * PARAMETERS
    assert trial.process_bytes is None and trial.thrashing is None
    assert trial.step_seconds > 0 and mps.emptied > 0


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_runs(stage):
    trial = run_on_mps(FakeMps(), TinyNet(), CONFIG, 8, stage=stage)
    assert trial.fits and trial.stage is stage
    assert trial.breakdown.total == trial.peak_allocated_bytes > PARAMETERS


def test_the_capacity_is_held_and_the_limit_restored(monkeypatch):
    monkeypatch.delenv("PYTORCH_MPS_HIGH_WATERMARK_RATIO", raising=False)
    mps = FakeMps()
    assert run_on_mps(mps, TinyNet(), CONFIG, 8).fits
    assert mps.fractions == [1.0, 1.7]
    monkeypatch.setenv("PYTORCH_MPS_HIGH_WATERMARK_RATIO", "0.5")
    trial = run_on_mps(mps, TinyNet(), CONFIG, 8, budget_bytes=GIB // 4)
    assert trial.capacity_bytes == GIB // 4
    assert mps.fractions[2:] == [0.25, 0.5]


def test_out_of_memory_is_a_result_and_leaves_nothing_behind():
    mps = FakeMps(32 * MIB)
    trial = run_on_mps(mps, TinyNet(), CONFIG, 20_000)
    assert trial.outcome is Outcome.OOM and "MPS backend out of memory" in trial.error
    assert mps.counter.live_bytes == 0
    assert run_on_mps(mps, TinyNet(), CONFIG, 8).fits


def test_a_models_own_error_is_an_outcome():
    trial = run_on_mps(FakeMps(), Raising(TypeError("bfloat16 is not supported")), CONFIG, 8)
    assert trial.outcome is Outcome.ERROR
    assert trial.error == "TypeError: bfloat16 is not supported"


def test_a_compiled_models_peak_is_said_to_be_sampled(monkeypatch):
    compile_model = create_autospec(torch.compile, side_effect=lambda model: model)
    monkeypatch.setattr(torch, "compile", compile_model)
    trial = run_on_mps(FakeMps(), TinyNet(), TrainingConfig(compile=True), 8)
    assert trial.fits and trial.breakdown is None
    assert any("between phases" in sentence for sentence in trial.assumptions)
    assert compile_model.call_count == 1


def test_the_device_has_the_name_that_metal_gives(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "get_name", lambda: "Apple M3", raising=False)
    assert module.device_name() == "Apple M3 GPU (MPS)"

    def missing():
        raise AttributeError("no such binding")

    monkeypatch.setattr(torch.backends.mps, "get_name", missing)
    assert module.device_name() == "Apple GPU (MPS)"
