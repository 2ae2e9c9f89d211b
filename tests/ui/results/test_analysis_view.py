"""What the analysis page says beside its charts."""

import dataclasses

from app_probe import AppProbe
from fakes import FakeProbe, FakeWorkload

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.marks import with_options
from memorymark.records.config import TrainingConfig
from memorymark.report.charts import batch_charts
from memorymark.ui.columns import cells_of
from memorymark.ui.results.analysis_view import TRIAL_COLUMNS
from memorymark.ui.results.analysis_view import _legend as legend
from memorymark.units import MIB, percent


def trial_rows(analysis):
    return cells_of(TRIAL_COLUMNS, analysis.trials)


def drawn_trials(spec):
    layers = [layer["data"]["values"] for layer in spec["layer"] if "data" in layer]
    return [row for rows in layers for row in rows if "what" in row]


def ranged(analysis):
    trials = [
        dataclasses.replace(
            trial,
            peak_reserved_low_bytes=trial.memory_bytes - 256 * MIB,
            peak_reserved_high_bytes=trial.memory_bytes + 256 * MIB,
        )
        if trial.fits
        else trial
        for trial in analysis.trials
    ]
    return with_options(dataclasses.replace(analysis, trials=tuple(trials)))


def test_the_range_is_explained_where_there_is_one():
    plain = analyze_on(AppProbe(), FakeWorkload(), TrainingConfig())
    assert "cuDNN" not in legend(plain)
    assert not any("Reserved, at most (GiB)" in row for row in trial_rows(plain))
    found = ranged(plain)
    said = legend(found)
    assert "the band along the line is where the peak lies" in said
    assert said.endswith(f"At the recommended batch: {found.optimal.trial.reserved_range}.")
    ends = [
        (
            row["Reserved, at least (GiB)"],
            row["Peak reserved (GiB)"],
            row["Reserved, at most (GiB)"],
        )
        for row in trial_rows(found)
        if row["Outcome"] == "fits"
    ]
    assert ends and all(least < best < most for least, best, most in ends)


def test_a_trial_that_does_not_fit_takes_more_than_the_capacity():
    """Of the memory that it needs, as the chart has it; unknown where that is unknown."""
    found = analyze_on(FakeProbe(oom_readings=True), FakeWorkload(), TrainingConfig())
    rows = [row for row in trial_rows(found) if row["Outcome"] == "out of memory"]
    assert rows and all(row["Share of capacity (%)"] > 100 for row in rows)
    told = {row["batch"]: row for row in drawn_trials(batch_charts.memory_over_batch(found))}
    for row in rows:
        in_chart = told[row["Batch size"]]
        assert in_chart["share"] == percent(row["Share of capacity (%)"] / 100)
        assert in_chart["memory"] == row["Memory needed (GiB)"]
    unknown = analyze_on(AppProbe(oom_readings=False), FakeWorkload(), TrainingConfig())
    rows = [row for row in trial_rows(unknown) if row["Outcome"] == "out of memory"]
    assert rows and {row["Share of capacity (%)"] for row in rows} == {None}
