"""Pieces of Vega-Lite as plain data, for the charts that are redrawn while a slider moves.

Altair takes 0.2 s and more to build and check a chart of ten layers; these take a millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memorymark.report.charts.palette import HEIGHT, category_legend, category_scale

Spec = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]


def layer(rows: Rows, mark: str, encoding: Spec, **style: Any) -> Spec:
    """Return a layer: what is drawn, how, and from which rows."""
    values = [dict(row) for row in rows]
    return {"data": {"values": values}, "mark": {"type": mark, **style}, "encoding": encoding}


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
        axis={"tickCount": ticks, "labelOverlap": True},
    )


def category_colour(*, with_legend: bool = True) -> Spec:
    """Colour by memory category."""
    legend = category_legend() if with_legend else None
    return words("category", title=None, scale=category_scale(), legend=legend)
