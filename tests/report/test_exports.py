from __future__ import annotations

import csv
import dataclasses
import io

import pytest
from fakes import FakeProbe, FakeWorkload

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.compare import comparison_of
from memorymark.gpus.catalogue import find_gpu
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Plan
from memorymark.report.exports import comparison_csv, trials_csv
from memorymark.report.settings_phrase import analysis_phrase
from memorymark.report.visible import visible
from memorymark.workloads.trial_spec import TrialSpec


def test_csv_has_a_line_a_trial_in_order_of_batch_sizes():
    result = analyze_on(FakeProbe(), FakeWorkload("bert"), TrainingConfig())
    rows = list(csv.DictReader(io.StringIO(trials_csv(result.trials))))
    assert [int(row["batch_size"]) for row in rows] == sorted(t.batch_size for t in result.trials)
    first = min(result.trials, key=lambda t: t.batch_size)
    assert int(rows[0]["peak_allocated_bytes"]) == first.peak_allocated_bytes
    assert int(rows[0]["activations"]) == first.breakdown.activations
    oom = next(row for row in rows if row["outcome"] == "oom")
    assert oom["peak_allocated_bytes"] == oom["samples_per_second"] == oom["activations"] == ""


@pytest.mark.parametrize("name", ["=cmd|'/C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_name_is_no_formula_of_a_spreadsheet(name):
    trial = FakeProbe().run_trial(TrialSpec(FakeWorkload("bert"), TrainingConfig(), 1))
    trial = dataclasses.replace(trial, device=name, error=name)
    row = next(csv.DictReader(io.StringIO(trials_csv([trial]), newline="")))
    assert row["device"] == row["error"] == f"'{visible(name)}"
    assert int(row["peak_allocated_bytes"]) == trial.peak_allocated_bytes


def test_each_line_of_a_csv_says_what_it_is_of():
    result = analyze_on(FakeProbe(), FakeWorkload("bert"), TrainingConfig(seq_len=512))
    settings = analysis_phrase(result)
    text = trials_csv(result.trials, settings)
    assert text.startswith("batch_size,")  # readers take the first line for the names
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["settings"] for row in rows} == {settings}
    assert {row["model"] for row in rows} == {"bert"}
    assert "512 tokens" in settings


def test_a_comparison_as_csv_has_a_line_a_gpu():
    plan = Plan(dataset_size=1_000_000, epochs=3)
    pairs = [
        (find_gpu(key), analyze_on(FakeProbe(), FakeWorkload("bert"), TrainingConfig()))
        for key in ("l4", "t4")
    ]
    comparison = comparison_of(pairs, plan)
    rows = list(csv.DictReader(io.StringIO(comparison_csv(comparison, "bert · 3 epochs"))))
    assert [row["gpu"] for row in rows] == [row.gpu for row in comparison.gpus]
    assert float(rows[0]["usd_per_run"]) == comparison.gpus[0].cost.usd_per_run
    assert {row["settings"] for row in rows} == {"bert · 3 epochs"}
