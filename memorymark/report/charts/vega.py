"""Pieces of Vega-Lite as plain data: charts are redrawn while a slider moves.

Altair takes 0.2 s and more to build and check a chart of ten layers; these take a millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memorymark.report.charts.palette import HEIGHT, category_legend, category_scale

Spec = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]
NUMBER = ",.6~f"  # thousands separators, no needless zeros
_WIDE = 480  # pixels of a plot
_SHORT = 12  # letters, of which two columns have room on a telephone
_LONG = 40  # one name a row, however wide the chart is

_SYMBOL = 32  # pixels of a legend before and after a name
_NEAR_THE_END = 20  # pixels, half of "10,000"

NAME_LINE = 7  # pixels by which a bar makes room for the name above it
# Names stand above their bars: beside them they would take half of a narrow page.
NAMES_ABOVE_BARS = {
    "labelAlign": "left",
    "labelPadding": -4,
    "labelOffset": -NAME_LINE - 3,
    "labelLimit": 0,
    "ticks": False,
    "domain": False,
    "grid": False,
    "zindex": 1,
}


def layer(rows: Rows, mark: str, encoding: Spec, **style: Any) -> Spec:
    """Return a layer: what is drawn, how, and from which rows."""
    values = [dict(row) for row in rows]
    told = {} if "tooltip" in encoding else {"tooltip": None}  # else all fields, by their names
    drawn = {"type": mark, **told, **style}
    return {"data": {"values": values}, "mark": drawn, "encoding": encoding}


def chart(layers: Sequence[Spec], described: str, height: int = HEIGHT) -> Spec:
    """Lay layers over one another and say in words what they show."""
    return {
        "width": "container",
        "height": height,
        "description": described,
        "layer": list(layers),
    }


def number(field: str, **more: Any) -> Spec:
    """Encode a number."""
    return {"field": field, "type": "quantitative", **more}


def words(field: str, **more: Any) -> Spec:
    """Encode words."""
    return {"field": field, "type": "nominal", **more}


def axis(field: str, title: str, end: float, ticks: int) -> Spec:
    """Encode a number on an axis from zero to an end."""
    return number(
        field,
        title=title,
        scale={"domain": [0, end], "nice": False},
        axis={"tickCount": ticks, "labelOverlap": True, "format": NUMBER},
    )


def across(field: str, title: str, end: float, ticks: int) -> Spec:
    """Encode a number on the axis across a chart: a figure near its end stays within the chart."""
    spec = axis(field, title, end, ticks)
    return {**spec, "axis": {**spec["axis"], "labelFlush": _NEAR_THE_END}}


def key(labels: Sequence[str], title: str | None = None, wide_columns: int = 4) -> Spec:
    """Put a legend above a chart, in as many columns as its width has room for.

    Names that stand in a legend never overprint points or one another, at whatever width.
    """
    longest = max(map(len, labels), default=0)
    few = 2 if longest <= _SHORT else 1
    many = 1 if longest > _LONG else max(min(len(labels), wide_columns), 1)
    return {
        "title": title,
        "orient": "top",
        "columns": {"expr": f"width < {_WIDE} ? {few} : {many}"},
        "labelLimit": {"expr": f"width - {_SYMBOL}"},
        "columnPadding": 16,
    }


def by_label(field: str, colours: Mapping[str, str], **more: Any) -> Spec:
    """Colour by label, with a legend of all labels above the chart."""
    scale = {"domain": list(colours), "range": list(colours.values())}
    legend = {**key(list(colours)), "symbolOpacity": 1, **more}  # whatever layer it is of
    return words(field, title=None, scale=scale, legend=legend)


def category_colour(*, with_legend: bool = True) -> Spec:
    """Colour by memory category."""
    legend = category_legend() if with_legend else None
    return words("category", title=None, scale=category_scale(), legend=legend)
