"""Where a simulated second, throughput or dollar is said, its band is said too."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.compare import comparison_of
from memorymark.analysis.marks import mark_at, with_options
from memorymark.gpus.catalogue import find_gpu
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Plan, PricedOffer
from memorymark.records.event import trial_line
from memorymark.records.lever import Lever, LeverReport
from memorymark.records.trial import Trial
from memorymark.report.charts.batch_charts import throughput_over_batch
from memorymark.report.charts.cost_charts import cost_against_time
from memorymark.report.charts.lever_charts import memory_against_throughput
from memorymark.report.comparison_lines import cheapest, comparison_lines, overlap_sentences
from memorymark.report.exports import comparison_csv, trials_csv
from memorymark.report.lever_lines import lever_lines
from memorymark.report.sentences import analysis_lines
from memorymark.report.verdict import verdict
from memorymark.units import GIB, hours, likely_hours, likely_rate, likely_seconds, likely_usd


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


def test_both_ends_of_a_band_of_time_are_in_one_unit():
    assert likely_hours((1.6, 3.49)) == " (likely 1.6 h to 3.49 h)"
    assert likely_hours((1.1, 2.36)) == " (likely 66 min to 142 min)"
    assert likely_hours((-2.36, -1.1)) == " (likely -142 min to -66 min)"
    assert likely_hours((900.0, 12_345.0)) == " (likely 900 h to 12,345 h)"
    assert likely_seconds(0.0, 0.5) == " (likely 0 ms to 500 ms)"
    assert hours(12_345.0) == "12,345 h"


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
    cost = float(first["usd_per_run"])
    assert float(first["usd_per_run_low"]) == pytest.approx(cost / 1.1)
    assert float(first["usd_per_run_high"]) == pytest.approx(cost * 1.1)


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


def test_between_two_trials_the_band_lies_between_theirs():
    found = analysis()
    size = next(n for n in range(17, 999) if all(t.batch_size != n for t in found.trials))
    mark = mark_at(found.trials, size)
    assert mark.interpolated
    low, high = mark.speed_band
    assert low * 1.25 == pytest.approx(mark.samples_per_second) == pytest.approx(high / 1.25)
    kept = with_options(found, current_batch_size=size)
    assert type(found).from_dict(kept.to_dict()).current == kept.current
    assert "samples_per_second_low" not in found.to_dict()["marks"]["optimal"]


def test_what_is_saved_has_the_band_of_the_throughput():
    asked = AnalysisOptions(price_per_hour=2.0, dataset_size=10_000_000)
    found = with_options(analysis(), **{k: getattr(asked, k) for k in ("dataset_size",)})
    saved = found.costs.usd_per_run
    low, high = found.likely_saving(saved)
    assert low * 1.25 == pytest.approx(saved) == pytest.approx(high / 1.25)
    assert verdict(found).endswith(f"per run{likely_usd((low, high))}.")
    assert f"{likely_usd((low, high))} per run" in "\n".join(analysis_lines(found))


def ends_of(spec, fields):
    rules = [layer for layer in spec["layer"] if layer["mark"]["type"] == "rule"]
    return [[row[name] for name in fields] for rule in rules for row in rule["data"]["values"]]


def test_the_chart_of_costs_draws_the_bands():
    record = comparison(2.0)
    offers = [PricedOffer(row.offer, row.cost, row.efficient) for row in record.gpus]
    names = {row.gpu: row.name for row in record.gpus}
    bands = {row.gpu: row.speed_band for row in record.gpus}
    fields = ("hours_low", "hours_high", "usd_low", "usd_high")
    drawn = ends_of(cost_against_time(offers, names, bands), fields)
    assert len(drawn) == 2
    for row in record.gpus:
        hours, usd = row.cost.hours_per_run, row.cost.usd_per_run
        assert pytest.approx([hours / 2, hours * 2, usd / 2, usd * 2]) in drawn
    assert ends_of(cost_against_time(offers, names), ("hours",)) == []


def levers():
    band = {"samples_per_second_low": 100.0, "samples_per_second_high": 400.0}
    before = Lever("As it is", {}, True, memory_bytes=GIB, samples_per_second=200.0, **band)
    found = analysis()
    report = LeverReport(
        "bert", found.config, found.target, found.options, before,
        levers=(dataclasses.replace(before, name="TF32"),),
    )  # fmt: skip
    return report.priced(0.72)


def test_levers_say_the_bands_of_throughput_and_of_dollars():
    report = levers()
    (lever,) = report.levers
    assert lever.cost_per_million_samples == pytest.approx(1.0)
    assert lever.cost_band == pytest.approx((0.5, 2.0))
    assert report.priced(None).levers[0].cost_per_million_samples is None
    (line,) = (line for line in lever_lines(report) if line.startswith("TF32"))
    assert "(likely 100 to 400)" in line and "(likely $0.50 to $2.00)" in line
    spec = memory_against_throughput(report)
    assert ends_of(spec, ("rate_low", "rate_high")) == [[100.0, 400.0]] * 2
