"""The pieces of charts: a legend has room for its names at any width."""

import pytest

from memorymark.report.charts.vega import by_label, key


@pytest.mark.parametrize(
    ("longest", "narrow", "wide"), [(5, 2, 3), (12, 2, 3), (13, 1, 3), (40, 1, 3), (41, 1, 1)]
)
def test_a_legend_has_as_many_columns_as_its_names_have_room_for(longest, narrow, wide):
    legend = key(["a", "b", "x" * longest])
    assert legend["columns"] == {"expr": f"width < 480 ? {narrow} : {wide}"}
    assert legend["labelLimit"] == {"expr": "width - 32"}  # a longer one is cut at the chart's edge


def test_a_legend_of_few_names_has_no_empty_columns():
    assert key(["one"])["columns"] == {"expr": "width < 480 ? 2 : 1"}
    assert key([])["columns"]["expr"].endswith(": 1")
    assert key(list("abcdefgh"), wide_columns=3)["columns"]["expr"].endswith(": 3")


def test_colours_come_with_such_a_legend():
    long = "amp-bf16 · 1,024 tokens · gradient checkpointing · adafactor"
    encoding = by_label("run", {long: "#123456", "fp32": "#654321"})
    assert encoding["legend"]["columns"]["expr"].endswith(": 1")
    assert encoding["scale"] == {"domain": [long, "fp32"], "range": ["#123456", "#654321"]}
