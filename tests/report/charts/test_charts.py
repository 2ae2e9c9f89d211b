"""What charts hold: the right rows, fixed colours, words for those who do not see them."""

import dataclasses

import altair
import pytest
from app_probe import AppProbe
from fakes import FakeProbe, FakeWorkload, simulated_target
from hypothesis import given
from hypothesis import strategies as st
from made_levers import report

from memorymark.analysis.analyze import AnalysisOptions, analyze_on
from memorymark.analysis.marks import with_options
from memorymark.analysis.validate import validate_backward_on, validate_compile_on
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Offer, Plan, compare_offers
from memorymark.records.held_memory import CATEGORIES, Breakdown, Holder, HolderGroup
from memorymark.records.trial import Stage
from memorymark.report.charts import (
    batch_charts,
    compare_charts,
    cost_charts,
    lever_charts,
    memory_charts,
    palette,
    validation_charts,
)
from memorymark.units import gib
from memorymark.workloads.trial_spec import TrialSpec

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
    assert f"Largest that fits: {analysis.max_batch_size:,} at" in said
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
    assert len(trial.holders) == 10 and len(trial.holder_groups) == 3
    labels = {row["label"] for row in rows_of(memory_charts.holder_bars(trial))}
    assert "8 × attention" in labels and len(labels) == 3
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
    altair.Chart.from_dict(validation_charts.stage_bars(found))
    altair.Chart.from_dict(validation_charts.overreach(found))
    extended = [
        row for row in rows_of(validation_charts.overreach(found))
        if row.get("kind") == "Extrapolated"
    ]  # fmt: skip
    end = max(extended, key=lambda row: row["batch"])
    assert end["batch"] == found.forward_only_max_batch_size
    assert end["memory"] > found.target.capacity_bytes / 1024**3
    assert [found.trial(stage).stage for stage in Stage] == list(Stage)


def test_break_even_lines_meet_where_the_record_says():
    found = validate_compile_on(FakeProbe(), FakeWorkload(), CONFIG, 8)
    rows = rows_of(validation_charts.break_even(found))
    ends = {row["kind"]: row["seconds"] for row in rows if "seconds" in row and row["steps"]}
    assert ends["Compiled"] < ends["Eager"]
    assert any(row["kind"].startswith("Break-even: ") for row in rows)
    altair.Chart.from_dict(validation_charts.break_even(found))


def test_cost_chart_marks_the_efficient_and_leaves_out_the_unknown():
    offers = compare_offers(
        Plan(dataset_size=1000),
        [Offer("a", 1.0, 10.0), Offer("b", 2.0, 15.0), Offer("c", 3.0, 12.0), Offer("d", None, 9)],
    )
    rows = rows_of(cost_charts.cost_against_time(offers, {name: name.upper() for name in "abcd"}))
    kinds = {row["name"]: row["kind"] for row in rows}
    best, beaten = "No other is both cheaper and faster", "Slower or dearer than another"
    assert kinds == {"A": best, "B": best, "C": beaten}


# ---- names, colours and figures ----------------------------------------------------------------


def layers_of(spec):
    return spec_of(spec)["layer"]


def all_charts(analysis):
    trial = analysis.max.trial
    backward = validate_backward_on(FakeProbe(), FakeWorkload(), CONFIG, 8)
    compiled = validate_compile_on(FakeProbe(), FakeWorkload(), CONFIG, 8)
    offers = compare_offers(Plan(dataset_size=1000), [Offer("a", 1.0, 10.0), Offer("b", 2.0, 15.0)])
    return {
        "memory": batch_charts.memory_over_batch(analysis),
        "throughput": batch_charts.throughput_over_batch(analysis),
        "categories": memory_charts.category_bars({"max": trial}),
        "holders": memory_charts.holder_bars(trial),
        "timeline": memory_charts.step_timeline(trial),
        "stages": validation_charts.stage_bars(backward),
        "overreach": validation_charts.overreach(backward),
        "break-even": validation_charts.break_even(compiled),
        "runs": compare_charts.memory_of_runs({"one": analysis, "two": analysis}),
        "rates of runs": compare_charts.throughput_of_runs({"one": analysis, "two": analysis}),
        "levers": lever_charts.memory_against_throughput(report()),
        "costs": cost_charts.cost_against_time(offers, {"a": "A", "b": "B"}),
    }


def test_each_category_has_one_colour_in_every_chart(analysis):
    """Fixed in the chart itself, so that neither theme changes it."""
    met = 0
    for spec in all_charts(analysis).values():
        for layer in layers_of(spec):
            colour = layer["encoding"].get("color", {})
            if colour.get("field") != "category":
                continue
            met += 1
            pairs = dict(zip(colour["scale"]["domain"], colour["scale"]["range"], strict=True))
            assert pairs == {
                palette.CATEGORY_WORDS[name]: palette.CATEGORY_COLOURS[name] for name in CATEGORIES
            }
            assert {row["category"] for row in layer["data"]["values"]} <= set(pairs)
    assert met == 3
    assert not set(palette.CATEGORY_COLOURS.values()) & set(palette.PHASE_COLOURS.values())


def contrast(first, second):
    def light(colour):
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#0e1117"])
def test_lines_and_bars_stand_out_on_both_grounds(ground):
    drawn = {
        *palette.CATEGORY_COLOURS.values(), *palette.MARK_COLOURS.values(),
        *palette.PHASE_COLOURS.values(), *palette.RUN_COLOURS, palette.LIMIT, palette.LINE,
    }  # fmt: skip
    faint = {colour: contrast(colour, ground) for colour in drawn}
    assert {colour: value for colour, value in faint.items() if value < 2.3} == {}


def test_words_in_a_plot_have_the_colour_of_the_page_s_text(analysis):
    texts = [
        layer["mark"]
        for spec in all_charts(analysis).values()
        for layer in layers_of(spec)
        if layer["mark"]["type"] == "text"
    ]
    assert texts and all(mark["color"] == "currentColor" for mark in texts)


def test_tooltips_have_titles_and_no_internals(analysis):
    for name, spec in all_charts(analysis).items():
        for layer in layers_of(spec):
            told = layer["encoding"].get("tooltip")
            if told is None:
                assert layer["mark"]["tooltip"] is None, name  # else all fields, by their names
                continue
            for each in told:
                assert each["title"][0].isupper() and "_" not in each["title"], (name, each)
                if each["type"] == "quantitative":
                    assert "," in each["format"], (name, each)


def test_axes_of_numbers_say_their_unit_and_separate_thousands(analysis):
    for name, spec in all_charts(analysis).items():
        for layer in layers_of(spec):
            for place in ("x", "y"):
                drawn = layer["encoding"].get(place, {})
                if drawn.get("type") == "quantitative":
                    assert drawn["title"], name
                    assert "," in drawn["axis"]["format"], (name, drawn)


def test_marks_are_named_in_the_legend_and_nothing_is_written_into_the_plot(analysis):
    for spec in (
        batch_charts.memory_over_batch(analysis),
        batch_charts.throughput_over_batch(analysis),
    ):
        assert not any(layer["mark"]["type"] == "text" for layer in spec["layer"])
        (rules,) = [
            layer for layer in spec["layer"]
            if layer["mark"]["type"] == "rule" and "color" in layer["encoding"]
        ]  # fmt: skip
        named = rules["encoding"]["color"]["scale"]["domain"]
        assert f"Largest that fits: {analysis.max_batch_size:,}" in named
        assert any(label.startswith("Recommended: ") for label in named)
        assert not any(word in label for label in named for word in ("optimal", "max "))
    assert "Capacity: 8.00 GiB" in str(batch_charts.memory_over_batch(analysis))


def test_marks_at_one_batch_are_one_entry():
    assert batch_charts.mark_label(["current"], 16) == "Current: 16"
    said = batch_charts.mark_label(["current", "optimal", "max"], 1496)
    assert said == "Current = recommended = largest that fits: 1,496"


def group(path, count=1, **parts):
    return HolderGroup(path, count, Breakdown(**(parts or {"activations": 5})))


def test_a_kind_is_named_by_its_part_of_the_layer_and_how_many_there_are():
    layers = "bert.encoder.layer.*"
    paths = [f"{layers}.intermediate.dense", f"{layers}.output.dense", layers]
    labels = memory_charts.group_labels([*(group(path, 12) for path in paths), group("embed")])
    assert list(labels.values()) == [
        "12 × intermediate.dense", "12 × output.dense", "12 × layer", "embed",
    ]  # fmt: skip
    two = memory_charts.group_labels([group("layer1.*.conv1", 3), group("layer2.*.conv1", 4)])
    assert list(two.values()) == ["3 × layer1.*.conv1", "4 × layer2.*.conv1"]


def test_one_layer_of_many_is_named_as_they_are():
    groups = [group("bert.encoder.layer.*.intermediate.act", 1), group("pooler.dense", 1)]
    assert list(memory_charts.group_labels(groups).values()) == [
        "1 × intermediate.act", "pooler.dense",
    ]  # fmt: skip


def test_operations_of_older_records_are_named_in_plain_words(analysis):
    groups = [group("aten._softmax.default"), group("aten.softmax.int"), group("embed")]
    labels = ["softmax", "softmax (2)", "embed"]
    assert list(memory_charts.group_labels(groups).values()) == labels
    holders = (Holder("aten._foreach_sqrt.default", "temporaries", 9), Holder("h", "inputs", 1))
    trial = dataclasses.replace(analysis.max.trial, holder_groups=(), holders=holders)
    assert list(memory_charts.holder_labels(trial)) == ["sqrt", "h"]


@given(
    st.lists(
        st.tuples(st.text("ab.*", min_size=1, max_size=60), st.integers(1, 3)),
        unique_by=lambda pair: pair[0], max_size=12,
    )
)  # fmt: skip
def test_no_two_kinds_share_a_label(pairs):
    """Truncated names that read alike would stack into one bar."""
    groups = [group(path, count) for path, count in pairs]
    labels = memory_charts.group_labels(groups)
    assert len(set(labels.values())) == len(groups) == len(labels)


def test_bars_stand_in_the_order_of_their_bytes(analysis):
    long = "encoder." * 9
    groups = (
        group(f"{long}a.dense", 1, activations=7, gradients=1), group(f"x.{long}a.dense", 1),
        group("small", 1, inputs=1),
    )  # fmt: skip
    trial = dataclasses.replace(analysis.max.trial, holder_groups=groups)
    (layer,) = layers_of(memory_charts.holder_bars(trial))
    order = layer["encoding"]["y"]["sort"]
    sums = [
        sum(row["memory"] for row in layer["data"]["values"] if row["label"] == label)
        for label in order
    ]
    assert len(order) == 3 and sums == sorted(sums, reverse=True)
    assert sum(sums) * 1024**3 == sum(g.total_bytes for g in groups)


def test_holders_of_an_older_record_are_drawn_each_for_itself(analysis):
    trial = dataclasses.replace(analysis.max.trial, holder_groups=())
    (layer,) = layers_of(memory_charts.holder_bars(trial))
    assert len(layer["encoding"]["y"]["sort"]) == len({h.path for h in trial.holders})


def test_phases_are_bands_with_a_legend(analysis):
    """Names of phases that are near one another would overprint one another."""
    trial = analysis.max.trial
    timeline = dataclasses.replace(
        trial.timeline, phases=(("forward", 0), ("backward", 101), ("step-end", 200))
    )
    bands, area = layers_of(
        memory_charts.step_timeline(dataclasses.replace(trial, timeline=timeline))
    )
    rows = bands["data"]["values"]
    assert [row["phase"] for row in rows] == ["Forward", "Backward", "End of step"]
    assert all(row["end"] > row["start"] for row in rows)
    assert bands["encoding"]["color"]["legend"]["orient"] == "top"
    assert area["encoding"]["y"]["title"] == "Allocated (GiB)"
    assert {row["phase"] for row in area["data"]["values"]} == {row["phase"] for row in rows}


def test_a_current_batch_that_was_simulated_later_is_a_point_of_a_simulation_only():
    """Its rule would cross the line elsewhere than its figures say."""
    probe = FakeProbe(target=simulated_target())
    found = analyze_on(probe, FakeWorkload(), TrainingConfig())
    trial = FakeProbe(9 * 2**30, target=simulated_target()).run_trial(
        TrialSpec(FakeWorkload(), TrainingConfig(), 401)
    )
    moved = with_options(found, current_batch_size=401, supplied=trial)
    for spec in (batch_charts.memory_over_batch(moved), batch_charts.throughput_over_batch(moved)):
        assert [row["source"] for row in rows_of(spec) if row.get("batch") == 401 and "what" in row]
    point = next(r for r in rows_of(batch_charts.memory_over_batch(moved)) if r.get("batch") == 401)
    assert point["memory"] == trial.memory_bytes / 2**30
    measured = analyze_on(FakeProbe(), FakeWorkload(), TrainingConfig())
    beyond = with_options(
        measured, current_batch_size=1, supplied=dataclasses.replace(trial, batch_size=1)
    )
    assert beyond.current.trial is not None
    drawn = rows_of(batch_charts.memory_over_batch(beyond))
    assert not [row for row in drawn if row.get("batch") == 1 and "what" in row]


def test_runs_laid_over_one_another_have_a_colour_and_a_shape_each(analysis):
    names = [f"A100 · batch {n}" for n in range(compare_charts.MOST_RUNS)]
    named = dict.fromkeys(names, analysis)
    for spec in (compare_charts.memory_of_runs(named), compare_charts.throughput_of_runs(named)):
        altair.Chart.from_dict(spec)
        points = [layer["encoding"] for layer in spec["layer"] if "shape" in layer["encoding"]]
        for channel in ("color", "shape"):
            scale = points[0][channel]["scale"]
            assert scale["domain"] == names and len(set(scale["range"])) == len(names)
        assert points[0]["shape"]["legend"] == points[0]["color"]["legend"]
        rows = [row for row in rows_of(spec) if "batch" in row]
        fitting = {t.batch_size for t in analysis.trials if t.fits}
        assert {(row["run"], row["batch"]) for row in rows} == {
            (name, batch) for name in names for batch in fitting
        }
    said = compare_charts.memory_of_runs(named)["description"]
    assert f"capacity {gib(analysis.capacity_bytes)}" in said
    for spec in (compare_charts.memory_of_runs(named), compare_charts.throughput_of_runs(named)):
        drawn = [layer["encoding"]["color"]["legend"] for layer in spec["layer"]]
        assert drawn and None not in drawn  # one without a legend takes it from all of them
