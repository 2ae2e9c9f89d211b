"""Memory against throughput of a training as it is and with each lever."""

import dataclasses

import altair
import pytest
from made_levers import BEATEN, BEFORE, FASTER, LESS, TOO_LARGE, report

from memorymark.report.charts.lever_charts import lever_rows, memory_against_throughput
from memorymark.units import UNKNOWN

BEST, BEATEN_KIND = "None takes less memory and is faster", "More memory, or slower"


def layers_of(spec, kind):
    return [layer for layer in spec["layer"] if layer["mark"]["type"] == kind]


def test_a_point_for_each_lever_that_fits_the_efficient_ones_first():
    rows = lever_rows(report())
    assert [(row["name"], row["title"], row["kind"]) for row in rows] == [
        ("1", "Checkpointing", BEST), ("2", "Half precision", BEST),
        ("As it is", "As it is", "As it is"), ("3", "Fused", BEATEN_KIND),
    ]  # fmt: skip
    assert [row["memory"] for row in rows] == [8.0, 17.0, 16.0, 18.0]


@pytest.mark.parametrize(
    "unknown", [{"fits": None}, {"memory_bytes": None}, {"samples_per_second": None}]
)
def test_what_has_no_place_has_no_point(unknown):
    hidden = dataclasses.replace(LESS, **unknown)
    assert [row["name"] for row in lever_rows(report(levers=(hidden, BEATEN)))] == ["As it is", "2"]


def test_the_tooltip_has_the_exact_figures_and_the_band():
    row = lever_rows(report())[0]
    assert row["bytes_text"] == "8,589,934,592 bytes"
    assert row["rate_text"] == "90 samples/s (likely 80 to 100)"
    assert (row["usd_text"], row["largest"]) == ("$1.50 (likely $1.35 to $1.69)", "64")
    beaten = next(row for row in lever_rows(report()) if row["title"] == "Fused")
    assert beaten["usd_text"] == UNKNOWN


def test_the_efficient_ones_are_joined_from_the_least_memory_on():
    (line,) = layers_of(memory_against_throughput(report()), "line")
    assert [row["title"] for row in line["data"]["values"]] == ["Checkpointing", "Half precision"]
    efficient = dataclasses.replace(BEFORE, efficient=True)
    (line,) = layers_of(memory_against_throughput(report(before=efficient)), "line")
    joined = [row["title"] for row in line["data"]["values"]]
    assert joined == ["Checkpointing", "As it is", "Half precision"]


def test_in_words_it_names_the_efficient_levers():
    described = memory_against_throughput(report())["description"]
    assert described == (
        "Memory against throughput at batch 16. None takes less memory and is faster: "
        "Checkpointing; Half precision."
    )
    nothing = report(before=dataclasses.replace(BEFORE, fits=False), levers=(TOO_LARGE,))
    assert memory_against_throughput(nothing)["description"].endswith(": none.")


@pytest.mark.parametrize("levers", [(), (LESS,), (LESS, FASTER, BEATEN, TOO_LARGE), (LESS,) * 40])
def test_it_is_a_chart_of_vega_lite_with_colours_for_each_kind(levers):
    spec = memory_against_throughput(report(levers=levers))
    altair.Chart.from_dict(spec)
    (points,) = layers_of(spec, "point")
    scale = points["encoding"]["color"]["scale"]
    assert {row["kind"] for row in points["data"]["values"]} <= set(scale["domain"])
    assert len(set(scale["range"])) == len(scale["domain"])
