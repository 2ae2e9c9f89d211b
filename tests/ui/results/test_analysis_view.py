"""What the analysis page says beside its charts."""

import dataclasses

from app_probe import AppProbe
from fakes import FakeProbe, FakeWorkload

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.marks import with_options
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome
from memorymark.report.charts import batch_charts
from memorymark.report.charts.batch_memory import memory_bar
from memorymark.ui.columns import cells_of
from memorymark.ui.results import analysis_view
from memorymark.ui.results.analysis_view import TRIAL_COLUMNS, memory_of_mark
from memorymark.ui.results.analysis_view import _legend as legend
from memorymark.units import GIB, MIB, percent


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


def test_a_card_says_the_most_that_its_batch_takes_as_the_memory_bar_does():
    plain = analyze_on(AppProbe(), FakeWorkload(), TrainingConfig())
    assert memory_of_mark(plain.current, plain) == "2.50 GiB"
    found = ranged(plain)
    assert memory_of_mark(found.current, found) == "2.50 GiB (at most 2.75)"
    assert memory_bar(found.current.trial, 0.05).sentence.startswith("Fits: 2.50 (at most 2.75) of")


def test_a_card_of_a_batch_that_does_not_fit_says_what_it_needs():
    found = analyze_on(AppProbe(), FakeWorkload(), TrainingConfig())
    too_large = with_options(found, current_batch_size=5000)
    assert memory_of_mark(too_large.current, too_large) == "does not fit"
    trial = dataclasses.replace(
        found.trials[0], batch_size=5000, outcome=Outcome.OOM, minimum_bytes=158 * GIB
    )
    known = with_options(found, current_batch_size=5000, supplied=trial)
    assert memory_of_mark(known.current, known) == "does not fit: needs 158.00 GiB"


def test_where_the_current_batch_does_not_fit_cards_say_so_in_place_of_what_it_is_compared_with(
    monkeypatch,
):
    drawn = {}
    monkeypatch.setattr(analysis_view, "card", lambda label, *words: drawn.update({label: words}))
    options = AnalysisOptions(price_per_hour=1.0, dataset_size=1000, current_batch_size=5000)
    found = analyze_on(AppProbe(), FakeWorkload(), TrainingConfig(), options)
    analysis_view.draw_key_figures(found)
    why = "the current batch does not fit"
    for label in ("Idle memory", "Savings per run", "Savings per year"):
        assert drawn[label][:2] == ("—", why)
    assert drawn["Speed-up"][0] == "—"
    analysis_view.draw_key_figures(with_options(found, current_batch_size=8))
    assert why not in str(drawn) and "per hour" in drawn["Savings per run"][1]
