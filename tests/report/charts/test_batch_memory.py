"""One batch's memory as one bar, and in words."""

from dataclasses import replace

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome
from memorymark.report.charts.batch_memory import memory_bar
from memorymark.units import GIB
from memorymark.workloads.trial_spec import TrialSpec


@pytest.fixture
def trial():
    spec = TrialSpec(FakeWorkload("bert"), TrainingConfig(), 16)
    return FakeProbe(target=simulated_target()).run_trial(spec)


def test_parts_add_up_to_what_is_used(trial):
    bar = memory_bar(trial, 0.05)
    assert sum(part.bytes for part in bar.parts) == bar.used_bytes == trial.most_memory_bytes
    assert bar.end_bytes == trial.capacity_bytes
    assert all(part.words in bar.described for part in bar.parts)


def test_a_batch_that_fits_says_what_is_free(trial):
    bar = memory_bar(replace(trial, peak_reserved_bytes=12 * GIB, breakdown=None), 0.05)
    assert bar.sentence == "Fits: 12.00 of 40.00 GiB, 28.00 GiB free (simulated)."
    assert bar.has_headroom


def test_a_range_is_said_with_its_higher_end(trial):
    ranged = replace(
        trial,
        peak_reserved_bytes=12 * GIB,
        peak_reserved_low_bytes=11 * GIB,
        peak_reserved_high_bytes=14 * GIB,
        breakdown=None,
    )
    said = "12.00 (at most 14.00) of 40.00 GiB, at least 26.00 GiB free (simulated)."
    assert memory_bar(ranged, 0.05).sentence == f"Fits: {said}"


def test_a_batch_that_fits_closely_is_warned_of(trial):
    bar = memory_bar(replace(trial, peak_reserved_bytes=39 * GIB, breakdown=None), 0.05)
    assert bar.sentence.startswith("Fits with only 2.5 % to spare: 39.00 of 40.00 GiB")
    assert not bar.has_headroom


def test_a_batch_that_does_not_fit_says_what_it_needs(trial):
    oom = replace(trial, outcome=Outcome.OOM, minimum_bytes=50 * GIB)
    bar = memory_bar(oom, 0.05)
    assert bar.sentence == (
        "Does not fit: batch 16 needs 50.00 GiB; this GPU has 40.00 GiB (simulated)."
    )
    assert bar.end_bytes == 50 * GIB
    unknown = memory_bar(replace(oom, minimum_bytes=None, breakdown=None), 0.05)
    assert "needs more than 40.00 GiB" in unknown.sentence


def test_a_budget_is_not_called_the_gpus_memory(trial):
    oom = replace(
        trial, outcome=Outcome.OOM, minimum_bytes=5 * GIB, capacity_bytes=4 * GIB, breakdown=None
    )
    bar = memory_bar(oom, 0.05, usable_bytes=40 * GIB)
    assert "the memory budget is 4.00 GiB" in bar.sentence
