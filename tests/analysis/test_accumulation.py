"""A wanted effective batch: how it is split, that each split is tried, and what is said of it."""

from __future__ import annotations

import dataclasses

import pytest
from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target
from hypothesis import given
from hypothesis import strategies as st

from memorymark.analysis.accumulation import MOST_MEASURED, split
from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.marks import with_options
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome
from memorymark.report.effective_batch_words import effective_batch_lines
from memorymark.report.length_words import length_lines
from memorymark.report.sentences import analysis_lines
from memorymark.units import GIB


@given(st.integers(1, 10**6), st.integers(1, 10**5))
def test_all_samples_are_in_micro_batches_that_do_not_exceed_the_largest(batch_size, largest):
    parts = split(batch_size, largest)
    whole = parts.micro_batch_size * (parts.accumulation - 1)
    assert whole + parts.last_micro_batch_size == batch_size
    assert 1 <= parts.last_micro_batch_size <= parts.micro_batch_size <= largest
    assert parts.accumulation <= 1.25 * -(-batch_size // largest) + 1


@pytest.mark.parametrize(
    ("batch_size", "largest", "expected"),
    [(256, 32, (32, 8, 32)), (256, 40, (32, 8, 32)), (250, 100, (84, 3, 82)), (8, 64, (8, 1, 8))],
)
def test_equal_micro_batches_are_taken_where_few_more_are_enough(batch_size, largest, expected):
    parts = split(batch_size, largest)
    found = parts.micro_batch_size, parts.accumulation, parts.last_micro_batch_size
    assert found == expected


def analyzed(target, wanted=1000, **options) -> tuple[Analysis, FakeProbe]:
    probe = FakeProbe(target=target)
    asked = AnalysisOptions(effective_batch_size=wanted, price_per_hour=3.6, **options)
    return analyze_on(probe, FakeWorkload(), TrainingConfig(), asked), probe


def test_each_split_is_tried_with_its_accumulation():
    analysis, probe = analyzed(simulated_target())
    found = analysis.effective_batch
    assert [step.mark for step in found.steps] == ["recommended", "largest"]
    for step, mark in zip(found.steps, (analysis.optimal, analysis.max), strict=True):
        assert step.split == split(1000, mark.batch_size)
        assert step.fits and step.seconds > 0
        assert step.usd == pytest.approx(step.seconds * 3.6 / 3600)
        assert step.samples_per_second == pytest.approx(1000 / step.seconds)
    tried = {(size, config.gradient_accumulation) for size, _, config in probe.calls}
    parts = [step.split for step in found.steps]
    assert {(each.micro_batch_size, each.accumulation) for each in parts} <= tried
    assert all(trial.config.gradient_accumulation == 1 for trial in analysis.trials)


def test_a_long_measured_step_is_measured_in_part_and_says_so():
    analysis, _ = analyzed(measured_target(), wanted=100_000)
    (step, *_) = analysis.effective_batch.steps
    assert step.tried_accumulation == MOST_MEASURED < step.split.accumulation
    assert f"(measured, from {MOST_MEASURED} micro-batches)" in effective_batch_lines(analysis)[0]


class Tight(FakeProbe):
    """Runs out of memory at more than 20 samples where gradients live on."""

    def run_trial(self, spec):
        trial = super().run_trial(spec)
        if spec.config.gradient_accumulation == 1 or spec.batch_size <= 20:
            return trial
        return dataclasses.replace(trial, outcome=Outcome.OOM, step_seconds=None)


def test_where_gradients_that_live_on_take_the_room_a_smaller_split_is_tried():
    probe = Tight(target=simulated_target(), per_sample_bytes=GIB)
    options = AnalysisOptions(effective_batch_size=60)
    analysis = analyze_on(probe, FakeWorkload(), TrainingConfig(), options)
    assert analysis.max.batch_size > 20
    largest = analysis.effective_batch.steps[-1]
    assert largest.fits and largest.split.micro_batch_size == 20


def test_the_rules_for_the_learning_rate_are_named_with_what_they_come_to():
    analysis, _ = analyzed(simulated_target(), wanted=1600, current_batch_size=16)
    said = effective_batch_lines(analysis)[-1]
    assert "scaled by 100 (linear: Goyal et al. 2017" in said and "or by 10 (square root" in said
    assert "Neither is applied here." in said
    assert all(line in analysis_lines(analysis) for line in effective_batch_lines(analysis))
    same, _ = analyzed(simulated_target(), wanted=16, current_batch_size=16)
    assert "stays as it is today" in effective_batch_lines(same)[-1]


def test_price_and_current_batch_follow_the_page():
    analysis, _ = analyzed(simulated_target())
    other = with_options(analysis, price_per_hour=7.2, current_batch_size=100)
    before, after = analysis.effective_batch.steps[0], other.effective_batch.steps[0]
    assert after.usd == pytest.approx(2 * before.usd)
    assert other.effective_batch.ratio == 10


def test_it_survives_json_and_is_left_out_where_nobody_asked():
    analysis, _ = analyzed(simulated_target())
    assert Analysis.from_dict(analysis.to_dict()) == analysis
    plain = analyze_on(FakeProbe(), FakeWorkload(), TrainingConfig())
    assert plain.effective_batch is None and effective_batch_lines(plain) == []
    written = plain.to_dict()
    assert "effective_batch" not in written and "effective_batch_size" not in written["options"]


def test_a_batch_above_the_data_set_is_remarked_on():
    analysis, _ = analyzed(simulated_target(), wanted=500, dataset_size=100, current_batch_size=200)
    (current,) = [text for text in analysis.remarks if text.startswith("The current batch, 200")]
    assert "larger than the data set of 100 samples" in current
    assert any(text.startswith("The effective batch, 500") for text in analysis.remarks)
    small = with_options(analysis, dataset_size=10_000)
    assert not any("larger than the data set" in text for text in small.remarks)


class Estimating(FakeProbe):
    """Gives a band with its seconds."""

    def run_trial(self, spec):
        trial = super().run_trial(spec)
        if trial.step_seconds is None:
            return trial
        low, high = trial.step_seconds / 2, trial.step_seconds * 2
        return dataclasses.replace(trial, step_seconds_low=low, step_seconds_high=high)


def test_estimated_seconds_have_their_band():
    probe = Estimating(target=simulated_target())
    options = AnalysisOptions(effective_batch_size=1000, lengths="500:9,512:1")
    analysis = analyze_on(probe, FakeWorkload(), TrainingConfig(), options)
    for step in analysis.effective_batch.steps:
        assert step.seconds == pytest.approx(2 * step.seconds_low)
        assert step.seconds_high == pytest.approx(2 * step.seconds)
    for made in analysis.lengths.batchings:
        speed = made.samples_per_second
        assert made.speed_band == (pytest.approx(speed / 2), pytest.approx(speed * 2))
    assert all("likely" in line for line in length_lines(analysis)[2:])
    assert Analysis.from_dict(analysis.to_dict()) == analysis
