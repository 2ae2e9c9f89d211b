from unittest.mock import create_autospec

import pytest
import torch
from fakes import FakeWorkload, measured_target

from memorymark.errors import OutOfMemory, one_sentence
from memorymark.probes import common
from memorymark.probes.common import (
    failed_trial,
    forget_frames,
    new_trial,
    software,
    spread_of,
    timed_trial,
)
from memorymark.probes.model_keeper import ModelKeeper
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome, Stage
from memorymark.workloads.trial_spec import TrialSpec


def test_versions_of_what_takes_part():
    assert software()["torch"] == torch.__version__
    assert {"python", "transformers"} <= set(software())


def test_software_is_that_of_now(monkeypatch):
    before = software()
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    assert software() == {**before, "PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    monkeypatch.undo()
    assert software() == before


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (OutOfMemory(1, 2, 3), Outcome.OOM),
        (torch.OutOfMemoryError("CUDA out of memory."), Outcome.OOM),
        (MemoryError(), Outcome.OOM),
        (RuntimeError("MPS backend out of memory (allocated: 1 GB)"), Outcome.OOM),
        (RuntimeError("shapes differ"), Outcome.ERROR),
        (ValueError("CUDA out of memory"), Outcome.ERROR),
    ],
)
def test_outcome_of_an_error(error, outcome):
    spec = TrialSpec(FakeWorkload("net"), TrainingConfig(), 4)
    trial = failed_trial(measured_target(), spec, error)
    assert (trial.outcome, trial.model, trial.batch_size) == (outcome, "net", 4)
    assert trial.error == one_sentence(error)


def test_frames_of_an_error_and_its_causes_are_dropped():
    def fail():
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner

    try:
        fail()
    except ValueError as error:
        caught = error
    inner = caught.__cause__
    assert caught.__traceback__ is not None and inner.__traceback__ is not None
    forget_frames(caught)
    assert caught.__traceback__ is None and inner.__traceback__ is None


@pytest.mark.parametrize("known", [(), ("Untested.",)])
def test_an_untested_torch_is_said_once_with_every_trial(monkeypatch, known):
    monkeypatch.setattr(common, "untested_version", create_autospec(
        common.untested_version, return_value="Untested."
    ))  # fmt: skip

    def run(spec):
        made = new_trial(measured_target(), spec, Outcome.OK, assumptions=("One.", *known))
        return made

    trial = timed_trial(
        run, TrialSpec(FakeWorkload(), TrainingConfig(), 4), ModelKeeper(torch.device("cpu"))
    )
    assert trial.assumptions == ("One.", "Untested.")
    assert trial.elapsed_seconds > 0


@pytest.mark.parametrize(
    ("config", "stage", "said"),
    [
        (TrainingConfig(optimizer="none"), Stage.STEP, True),
        (TrainingConfig(optimizer="none", loop="trainer"), Stage.STEP, False),
        (TrainingConfig(optimizer="none"), Stage.BACKWARD, False),
        (TrainingConfig(), Stage.STEP, False),
    ],
)
def test_a_step_that_stands_alone_says_what_it_leaves_out(config, stage, said):
    trial = timed_trial(
        lambda spec: new_trial(measured_target(), spec, Outcome.OK),
        TrialSpec(FakeWorkload(), config, 4, stage),
        ModelKeeper(torch.device("cpu")),
    )
    assert any("end with their step" in sentence for sentence in trial.assumptions) is said


def test_the_spread_of_steps_is_their_interquartile_range_over_their_median():
    assert spread_of([1.0, 1.0, 1.0]) is None
    assert spread_of([2.0] * 5) == 0.0
    assert spread_of([1.0, 1.1, 1.0, 1.2, 9.0]) == pytest.approx(0.2 / 1.1)
