from __future__ import annotations

import csv
import io

from fakes import FakeProbe, FakeWorkload

from memorymark.analysis.analyze import analyze_on
from memorymark.records.config import TrainingConfig
from memorymark.report.exports import trials_csv


def test_csv_has_a_line_a_trial_in_order_of_batch_sizes():
    result = analyze_on(FakeProbe(), FakeWorkload("bert"), TrainingConfig())
    rows = list(csv.DictReader(io.StringIO(trials_csv(result.trials))))
    assert [int(row["batch_size"]) for row in rows] == sorted(t.batch_size for t in result.trials)
    first = min(result.trials, key=lambda t: t.batch_size)
    assert int(rows[0]["peak_allocated_bytes"]) == first.peak_allocated_bytes
    assert int(rows[0]["activations"]) == first.breakdown.activations
    oom = next(row for row in rows if row["outcome"] == "oom")
    assert oom["peak_allocated_bytes"] == oom["samples_per_second"] == oom["activations"] == ""
