"""Where a simulated second, throughput or dollar is said, its band is said too."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.compare import comparison_of
from memorymark.gpus.catalogue import find_gpu
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Plan
from memorymark.records.event import trial_line
from memorymark.records.trial import Trial
from memorymark.report.charts.batch_charts import throughput_over_batch
from memorymark.report.comparison_lines import cheapest, comparison_lines, overlap_sentences
from memorymark.report.exports import comparison_csv, trials_csv
from memorymark.report.sentences import analysis_lines
from memorymark.units import likely_rate, likely_seconds


class BandedProbe(FakeProbe):
    """Gives its seconds with a band of a factor to either side."""

    factor = 1.25

    def run_trial(self, spec):
        trial = super().run_trial(spec)
        if trial.step_seconds is None:
            return trial
        return dataclasses.replace(
            trial,
            step_seconds_low=trial.step_seconds / self.factor,
            step_seconds_high=trial.step_seconds * self.factor,
        )


def analysis(probe=BandedProbe):
    asked = AnalysisOptions(price_per_hour=2.0)
    made = probe(target=simulated_target())
    return analyze_on(made, FakeWorkload("bert"), TrainingConfig(), asked)


def comparison(factor):
    def probe(seconds):
        made = BandedProbe(target=simulated_target(), seconds_per_sample=seconds)
        made.factor = factor
        return made

    pairs = [
        (find_gpu(key), analyze_on(probe(seconds), FakeWorkload("bert"), TrainingConfig()))
        for key, seconds in (("l4", 0.01), ("a10", 0.008))
    ]
    return comparison_of(pairs, Plan(dataset_size=1_000_000))


def test_a_band_is_written_beside_its_figure_and_nothing_where_there_is_none():
    assert likely_rate((93.1, 125.4)) == " (likely 93.1 to 125)"
    assert likely_seconds(0.1, 0.2) == " (likely 100 ms to 200 ms)"
    assert likely_rate(None) == likely_seconds(None, 0.2) == ""


def test_a_trials_band_of_throughput_lies_around_it():
    trial = analysis().optimal.trial
    low, high = trial.speed_band
    assert low * 1.25 == pytest.approx(trial.samples_per_second) == pytest.approx(high / 1.25)
    measured = dataclasses.replace(trial, step_seconds_low=None, step_seconds_high=None)
    assert measured.speed_band is None
    assert "step_seconds_low" not in measured.to_dict()
    assert Trial.from_dict(trial.to_dict()) == trial


def test_sentences_say_the_band_of_throughput_and_of_dollars():
    found = analysis()
    lines = analysis_lines(found)
    (recommended,) = (line for line in lines if line.startswith("Recommended"))
    (cost,) = (line for line in lines if line.startswith("Cost"))
    assert likely_rate(found.optimal.speed_band) in recommended
    assert "(likely $" in cost
    assert "(likely" in trial_line(found.optimal.trial)
    assert not any("(likely" in line for line in analysis_lines(analysis(FakeProbe)))


def test_the_chart_draws_the_band():
    areas = [
        layer for layer in throughput_over_batch(analysis())["layer"]
        if layer["mark"]["type"] == "area"
    ]  # fmt: skip
    assert len(areas) == 1
    plain = throughput_over_batch(analysis(FakeProbe))["layer"]
    assert not any(layer["mark"]["type"] == "area" for layer in plain)


def test_exports_hold_both_ends():
    (first, *_) = csv.DictReader(io.StringIO(trials_csv(analysis().trials)))
    assert float(first["step_seconds_low"]) < float(first["step_seconds"])
    (first, *_) = csv.DictReader(io.StringIO(comparison_csv(comparison(1.1), "")))
    assert float(first["samples_per_second_high"]) > float(first["samples_per_second"])


def test_cards_whose_bands_overlap_are_named():
    near, apart = comparison(3.0), comparison(1.001)
    other = next(row for row in near.gpus if row is not cheapest(near))
    (said,) = overlap_sentences(near)
    assert other.name in said and "bands of the estimates overlap" in said
    assert f"Note: {said}" in comparison_lines(near)
    (said,) = overlap_sentences(apart)
    assert "cheapest wherever in its band" in said


def test_a_comparison_keeps_its_bands():
    record = comparison(1.2)
    assert Comparison.from_dict(record.to_dict()) == record
    assert cheapest(record).usd_per_million_band[0] < cheapest(record).cost.usd_per_million_samples
