"""Lengths: the analysis is at the longest, and every other figure is of a trial at its length."""

from __future__ import annotations

import dataclasses

import pytest
from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_resnet

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.worst_case import BUCKETS, buckets
from memorymark.errors import InvalidValue
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.length_distribution import distribution, read_lengths
from memorymark.records.trial import Outcome
from memorymark.report.length_words import length_lines
from memorymark.report.sentences import analysis_lines
from memorymark.units import GIB, MIB

COUNTED = "64:600,128:200,256:150,512:50"


class ByTokens(FakeProbe):
    """Each token takes 256 KiB and a microsecond, so that 128 tokens are a sample of the fake."""

    def run_trial(self, spec):
        tokens = spec.config.seq_len
        self.per_sample_bytes = tokens * MIB // 4
        self.seconds_per_sample = tokens * 1e-6
        return super().run_trial(spec)


def analyzed(target=None, **options) -> tuple[Analysis, FakeProbe]:
    probe = ByTokens(target=target or simulated_target(), overhead_seconds=0.001)
    asked = AnalysisOptions(**options)
    return analyze_on(probe, FakeWorkload(), TrainingConfig(), asked), probe


@given(st.lists(st.integers(1, 600), min_size=1, max_size=200))
def test_buckets_hold_all_samples_and_end_at_the_longest(values):
    found = distribution(read_lengths(values), None)
    made = buckets(found)
    assert 1 <= len(made) <= BUCKETS and made[-1][0] == max(values)
    assert sum(share for _, share in made) == pytest.approx(1)
    edges = [length for length, _ in made]
    assert edges == sorted(set(edges))
    for length, share in made:
        counted = sum(value <= length for value in values) / len(values)
        below = sum(part for edge, part in made if edge < length)
        assert counted == pytest.approx(below + share)


def test_the_analysis_is_at_the_longest_and_the_mean_promises_more():
    analysis, _ = analyzed(lengths=COUNTED)
    assert analysis.config.seq_len == 512
    assert all(trial.config.seq_len == 512 for trial in analysis.trials)
    found = analysis.lengths
    assert (found.longest, found.samples, found.assumed) == (512, 1000, None)
    assert found.mean == pytest.approx(0.6 * 64 + 0.2 * 128 + 0.15 * 256 + 0.05 * 512)
    assert found.surviving_batch_size == analysis.max_batch_size
    alone, _ = analyzed()
    at_mean = analyze_on(
        ByTokens(target=simulated_target(), overhead_seconds=0.001),
        FakeWorkload(),
        TrainingConfig(seq_len=128),
    )
    assert found.promised_batch_size == at_mean.max_batch_size > analysis.max_batch_size
    assert alone.lengths is None


def test_each_figure_is_that_of_a_trial_at_its_length():
    analysis, probe = analyzed(lengths=COUNTED)
    tried = {(size, config.seq_len) for size, _, config in probe.calls}
    for made in analysis.lengths.batchings:
        assert {(each.batch_size, each.seq_len) for each in made.trials} <= tried
        seconds = sum(each.share * each.step_seconds / each.batch_size for each in made.trials)
        assert made.samples_per_second == pytest.approx(1 / seconds)
        assert all(each.fits for each in made.trials)


def test_short_samples_in_batches_of_their_own_are_faster_and_larger_with_a_token_budget():
    analysis, _ = analyzed(lengths=COUNTED)
    shuffled, by_length, by_tokens = analysis.lengths.batchings
    assert shuffled.samples_per_second < by_length.samples_per_second
    assert by_length.samples_per_second <= by_tokens.samples_per_second
    assert {each.batch_size for each in by_length.trials} == {analysis.optimal.batch_size}
    assert by_tokens.tokens == analysis.optimal.batch_size * 512
    assert all(each.batch_size * each.seq_len <= by_tokens.tokens for each in by_tokens.trials)
    assert by_tokens.batch_size > by_length.batch_size == pytest.approx(analysis.optimal.batch_size)


class Uneven(ByTokens):
    """Holds 70 samples at the most, but at the longest length."""

    def run_trial(self, spec):
        trial = super().run_trial(spec)
        if spec.config.seq_len == 512 or spec.batch_size <= 70:
            return trial
        return dataclasses.replace(trial, outcome=Outcome.OOM, step_seconds=None)


def test_a_budget_that_does_not_fit_is_followed_by_a_smaller_batch():
    probe = Uneven(target=simulated_target(), overhead_seconds=0.001)
    options = AnalysisOptions(lengths="400:10,512:10")
    analysis = analyze_on(probe, FakeWorkload(), TrainingConfig(), options)
    first = analysis.lengths.batchings[-1].trials[0]
    assert first.batch_size < analysis.optimal.batch_size * 512 // 400
    assert first.seq_len == 400 and first.fits and first.batch_size <= 70


def test_of_a_range_what_is_assumed_and_how_far_others_lie_is_said():
    analysis, _ = analyzed(length_range="64,150,512")
    found = analysis.lengths
    assert found.samples is None and "is assumed" in found.assumed
    for made in found.batchings:
        assert made.samples_per_second_low <= made.samples_per_second
        assert made.samples_per_second <= made.samples_per_second_high
    lines = length_lines(analysis)
    assert found.assumed in lines[0]
    assert all("by the distribution" in line for line in lines[2:])


def test_the_sentences_say_which_batch_survives_and_what_each_way_gives():
    analysis, _ = analyzed(lengths=COUNTED)
    lines = length_lines(analysis)
    found = analysis.lengths
    assert lines[0].startswith("Lengths: mean 128, longest 512 tokens over 1,000 samples.")
    assert lines[1].startswith(f"Batch {found.surviving_batch_size:,} is the largest that survives")
    assert f"would have promised {found.promised_batch_size:,}" in lines[1]
    assert lines[2].startswith("Shuffled: batch ") and "times" not in lines[2]
    assert "times shuffled" in lines[3] and lines[4].startswith("With a token budget of ")
    assert all("(simulated)" in line for line in lines[2:])
    assert all(line in analysis_lines(analysis) for line in lines)


def test_lengths_that_are_all_alike_promise_nothing_else():
    analysis, _ = analyzed(lengths="512:9")
    assert analysis.lengths.promised_batch_size == analysis.max_batch_size
    assert "promises no more" in length_lines(analysis)[1]


def test_where_nothing_fits_it_says_so():
    probe = FakeProbe(fixed_bytes=900 * GIB, target=simulated_target())
    options = AnalysisOptions(lengths="64,512")
    analysis = analyze_on(probe, FakeWorkload(), TrainingConfig(), options)
    assert length_lines(analysis)[1] == "No batch survives 512 tokens."


@pytest.mark.parametrize("target", [simulated_target(), measured_target()], ids=str)
def test_it_survives_json(target):
    analysis, _ = analyzed(target, lengths=COUNTED)
    assert Analysis.from_dict(analysis.to_dict()) == analysis
    assert analysis.to_dict()["lengths"]["longest"] == 512


def test_a_model_that_reads_no_text_has_no_lengths_in_tokens():
    with pytest.raises(InvalidValue, match="'tiny-resnet' reads no text"):
        analyze_on(FakeProbe(), tiny_resnet(), TrainingConfig(), AnalysisOptions(lengths="64,512"))
