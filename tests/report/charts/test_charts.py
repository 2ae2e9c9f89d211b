"""What charts hold: the right rows, fixed colours, words for those who do not see them."""

import dataclasses

import altair
import pytest
from app_probe import AppProbe
from fakes import FakeProbe, FakeWorkload

from memorymark.analysis.analyze import AnalysisOptions, analyze_on
from memorymark.analysis.marks import with_options
from memorymark.analysis.validate import validate_backward_on, validate_compile_on
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Offer, Plan, compare_offers
from memorymark.records.trial import CATEGORIES, Stage
from memorymark.report.charts import (
    batch_charts,
    cost_charts,
    memory_charts,
    palette,
    validation_charts,
)

CONFIG = TrainingConfig()


@pytest.fixture(scope="module")
def analysis():
    options = AnalysisOptions(current_batch_size=17)
    return analyze_on(AppProbe(), FakeWorkload(), CONFIG, options)


def spec_of(chart):
    return chart if isinstance(chart, dict) else chart.to_dict()


def rows_of(chart):
    """Return all rows in a chart and its layers; rows that all layers share lie at the top."""
    spec = spec_of(chart)
    named = spec.get("datasets", {})

    def walk(node):
        held = node.get("data", {})
        yield from held.get("values", named.get(held.get("name"), []))
        for layer in node.get("layer", []):
            yield from walk(layer)

    return list(walk(spec))


def test_every_category_has_a_colour_and_words():
    assert set(palette.CATEGORY_COLOURS) == set(palette.CATEGORY_WORDS) == set(CATEGORIES)
    assert len(set(palette.CATEGORY_COLOURS.values())) == len(CATEGORIES)


def test_memory_chart_holds_each_trial_and_says_it_in_words(analysis):
    chart = batch_charts.memory_over_batch(analysis)
    rows = [row for row in rows_of(chart) if "what" in row]
    drawn = {row["batch"] for row in rows}
    assert drawn == {trial.batch_size for trial in analysis.trials}
    assert {row["what"] for row in rows} == {"fits", "out of memory"}
    said = chart["description"]
    assert f"max batch size {analysis.max_batch_size}" in said
    assert "capacity 8.00 GiB" in said


def with_ranges(analysis):
    """Give each trial that fits a range around its memory."""
    ranged = [
        dataclasses.replace(
            trial,
            peak_reserved_low_bytes=trial.memory_bytes - 64 * 1024**2,
            peak_reserved_high_bytes=trial.memory_bytes + 64 * 1024**2,
        )
        if trial.fits
        else trial
        for trial in analysis.trials
    ]
    return with_options(dataclasses.replace(analysis, trials=tuple(ranged)))


def test_memory_chart_draws_the_range_of_each_trial_and_says_it_in_words(analysis):
    plain, ranged = (
        batch_charts.memory_over_batch(each) for each in (analysis, with_ranges(analysis))
    )
    (band,) = [layer for layer in ranged["layer"] if layer["mark"]["type"] == "area"]
    rows = band["data"]["values"]
    assert {row["batch"] for row in rows} == {t.batch_size for t in analysis.trials if t.fits}
    assert all(row["memory"] < row["high"] for row in rows)
    assert "depending on which cuDNN workspaces find room" in ranged["description"]
    assert not any(layer["mark"]["type"] == "area" for layer in plain["layer"])
    assert "cuDNN" not in plain["description"]
    altair.Chart.from_dict(ranged)


def test_marks_at_one_batch_are_named_together(analysis):
    same = dataclasses.replace(analysis, current=analysis.optimal)
    names = [names for names, _ in batch_charts.grouped_marks(same)]
    assert ["current", "optimal"] in names


def test_throughput_chart_leaves_out_what_has_none(analysis):
    rows = [row for row in rows_of(batch_charts.throughput_over_batch(analysis)) if "what" in row]
    known = {t.batch_size: t.samples_per_second for t in analysis.trials if t.samples_per_second}
    assert 1 < len(known) < len(analysis.trials)
    assert {row["batch"]: row["rate"] for row in rows} == known


def test_analysis_without_capacity_or_trials_is_drawn(analysis):
    empty = dataclasses.replace(
        analysis,
        trials=(),
        target=dataclasses.replace(analysis.target, capacity_bytes=None),
        current=batch_charts.Mark(), optimal=batch_charts.Mark(), max=batch_charts.Mark(),
    )  # fmt: skip
    assert rows_of(batch_charts.memory_over_batch(empty)) == []
    assert rows_of(batch_charts.throughput_over_batch(empty)) == []


def test_specs_as_plain_data_are_valid(analysis):
    trial = analysis.max.trial
    specs = (
        batch_charts.memory_over_batch(analysis),
        batch_charts.throughput_over_batch(analysis),
        memory_charts.category_bars({"max": trial}),
        memory_charts.holder_bars(trial),
        memory_charts.step_timeline(trial),
    )
    assert all(spec["description"] for spec in specs)
    for spec in specs:
        altair.Chart.from_dict(spec)


def test_category_bars_add_up_to_the_peak(analysis):
    trial = analysis.max.trial
    rows = [
        row for row in rows_of(memory_charts.category_bars({"max": trial})) if row["label"] == "max"
    ]
    total = sum(int(row["bytes"].split()[0].replace(",", "")) for row in rows)
    assert total == trial.peak_allocated_bytes


def test_holders_and_timeline_stay_small(analysis):
    trial = analysis.max.trial
    assert len(rows_of(memory_charts.holder_bars(trial))) == len(trial.holders) == 10
    many = dataclasses.replace(
        trial.timeline,
        positions=tuple(range(2000)),
        allocated_bytes=tuple(range(2000)),
    )
    rows = rows_of(memory_charts.step_timeline(dataclasses.replace(trial, timeline=many)))
    live = [row["bytes"] for row in rows if "bytes" in row]
    assert len(live) <= 700
    assert "1,999 bytes" in live


def test_backward_charts_reach_beyond_the_capacity():
    found = validate_backward_on(FakeProbe(), FakeWorkload(), CONFIG, 8)
    stages = {row["stage"] for row in rows_of(validation_charts.stage_bars(found))}
    assert stages == {"Weights", *validation_charts.STAGE_WORDS.values()}
    extended = [
        row for row in rows_of(validation_charts.overreach(found))
        if row.get("kind") == "extrapolated"
    ]  # fmt: skip
    end = max(extended, key=lambda row: row["batch"])
    assert end["batch"] == found.forward_only_max_batch_size
    assert end["memory"] > found.target.capacity_bytes / 1024**3
    assert [found.trial(stage).stage for stage in Stage] == list(Stage)


def test_break_even_lines_meet_where_the_record_says():
    found = validate_compile_on(FakeProbe(), FakeWorkload(), CONFIG, 8)
    rows = rows_of(validation_charts.break_even(found))
    ends = {row["kind"]: row["seconds"] for row in rows if row.get("kind") and row["steps"]}
    assert ends["compiled"] < ends["eager"]
    assert any(row.get("text", "").startswith("break-even: ") for row in rows)


def test_cost_chart_marks_the_efficient_and_leaves_out_the_unknown():
    offers = compare_offers(
        Plan(dataset_size=1000),
        [Offer("a", 1.0, 10.0), Offer("b", 2.0, 15.0), Offer("c", 3.0, 12.0), Offer("d", None, 9)],
    )
    rows = rows_of(cost_charts.cost_against_time(offers, {name: name.upper() for name in "abcd"}))
    kinds = {row["name"]: row["kind"] for row in rows}
    assert kinds == {"A": "Pareto-optimal", "B": "Pareto-optimal", "C": "dominated"}
