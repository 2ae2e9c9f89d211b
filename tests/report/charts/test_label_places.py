"""Names of points cover neither one another nor other points, at every width of a plot."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorymark.gpus.catalogue import load_catalogue
from memorymark.records.costs import Offer, Plan, compare_offers
from memorymark.report.charts import cost_charts, pareto
from memorymark.report.charts.label_places import box_of, label_places

GPUS = load_catalogue()
AXES = pareto.Axes("hours", "usd", "Hours per run", "US dollars per run")
names = st.text("ABC 0", min_size=1, max_size=22)


def boxes(said, points, places):
    pairs = zip(said, points, places, strict=True)
    return [(n, box_of(name, point, place))
            for n, (name, point, place) in enumerate(pairs) if place]  # fmt: skip


def assert_apart(said, points, places, width, height):
    placed = boxes(said, points, places)
    for number, box in placed:
        assert box.is_within(width, height)
        assert not any(box.meets(other) for n, other in placed if n != number)
        for n, (x, y) in enumerate(points):
            inside = box.left < x < box.right and box.top < y < box.bottom
            assert n == number or not inside, (said[number], said[n])


@given(
    st.lists(st.tuples(names, st.floats(0, 400), st.floats(0, 300)), max_size=25),
    st.sampled_from(pareto.WIDTHS),
)
def test_no_name_covers_another_or_a_point(rows, width):
    said = [name for name, *_ in rows]
    points = [(x, y) for _, x, y in rows]
    assert_apart(said, points, label_places(said, points, width, 300), width, 300)


def test_the_first_ones_have_the_first_choice():
    places = label_places(["A" * 20, "B" * 20], [(100, 50), (104, 50)], 300, 60)
    assert places[0] is not None


def catalogue_rows():
    """The GPUs of the catalogue with throughputs as their peak rates would have them."""
    offers = compare_offers(
        Plan(dataset_size=1_000_000),
        [
            Offer(key, gpu.usd_per_hour or 1.0, math.sqrt(gpu.fp16_flops * gpu.fp32_flops) / 1e11)
            for key, gpu in GPUS.items()
        ],
    )
    return cost_charts.cost_rows(offers, {key: gpu.name for key, gpu in GPUS.items()}, True)


@pytest.mark.parametrize("width", [230, 300, 420, 500, 640, 700, 860, 1100])
def test_names_of_the_whole_catalogue_do_not_collide(width):
    rows = catalogue_rows()
    said = [row["name"] for row in rows]
    least = max(each for each in pareto.WIDTHS if each <= width)
    places = label_places(said, AXES.pixels(rows, least), least, pareto.PLOT_HEIGHT)
    height = pareto.PLOT_HEIGHT
    assert_apart(said, AXES.pixels(rows, width), places, width, height)
    drawn = sum(place is not None for place in places)
    assert drawn >= 5 if width >= 420 else drawn >= 3


def test_each_name_is_drawn_at_a_width_once():
    offers = compare_offers(Plan(dataset_size=1000), [Offer("a", 1.0, 10.0), Offer("b", 2.0, 15.0)])
    spec = cost_charts.cost_against_time(offers, {"a": "A", "b": "B"})
    texts = [layer for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    told = {layer["mark"]["opacity"]["expr"] for layer in texts}
    assert len(told) == len(pareto.WIDTHS)
