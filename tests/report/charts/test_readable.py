"""Text of charts: enough contrast on both grounds, whatever colour it was given."""

import re
import tomllib
from pathlib import Path

import pytest

from memorymark.report.charts import palette, readable
from memorymark.report.charts.readable import contrast

CONFIG = Path(__file__).parents[3] / ".streamlit" / "config.toml"
COLOURS = sorted(
    {*palette.CATEGORY_COLOURS.values(), *palette.MARK_COLOURS.values(), palette.LIMIT}
)


def grounds(theme):
    options = tomllib.loads(CONFIG.read_text())["theme"][theme]
    parts = (options, options["sidebar"])
    return {each[name] for each in parts for name in each if name.endswith("ackgroundColor")}


def colours_of(mark):
    return re.findall(r"#[0-9a-f]{6}", mark["color"]["expr"])


def text(**style):
    return {"layer": [{"mark": {"type": "text", **style}, "encoding": {}}]}


@pytest.mark.parametrize("colour", COLOURS)
def test_each_colour_is_readable_on_every_ground_of_the_themes(colour):
    mark = readable.readable(text(color=colour))["layer"][0]["mark"]
    on_light, on_dark = colours_of(mark)
    assert min(contrast(on_light, ground) for ground in grounds("light")) >= 4.5
    assert min(contrast(on_dark, ground) for ground in grounds("dark")) >= 4.5


def test_a_colour_that_stands_out_already_stays():
    mark = readable.readable(text(color="#000000"))["layer"][0]["mark"]
    assert colours_of(mark)[0] == "#000000"


def test_labels_of_axes_and_legends_are_plain_text_unless_they_are_given_a_colour():
    made = readable.readable({"config": {"axis": {"labelColor": "#abcdef", "grid": False}}})
    assert made["config"]["axis"]["labelColor"] == "#abcdef"
    assert made["config"]["axis"]["grid"] is False
    for place in ("legend", "header"):
        colours = re.findall(r"#[0-9a-f]{6}", made["config"][place]["labelColor"]["expr"])
        assert contrast(colours[0], "#f0f3f1") > 7 and contrast(colours[1], "#1a252b") > 7


def test_a_text_whose_colour_a_scale_chooses_becomes_plain():
    chart = {"mark": "text", "encoding": {"color": {"field": "kind"}, "text": {"field": "name"}}}
    made = readable.readable(chart)
    assert made["encoding"] == {"text": {"field": "name"}}
    assert len(colours_of(made["mark"])) == 2


def test_what_is_no_text_and_the_rows_stay_as_they_are():
    rows = {"values": [{"mark": "text", "color": "#8793a1"}]}
    layer = {"data": rows, "mark": {"type": "line", "color": "#8793a1"}, "encoding": {}}
    assert readable.readable({"layer": [layer]})["layer"] == [layer]


def test_contrast_is_that_of_the_web_content_guidelines():
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#ffffff", "#2fb3a2") == pytest.approx(2.60, abs=0.01)
