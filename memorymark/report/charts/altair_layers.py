"""Pieces of Altair charts, for the pages whose charts no slider redraws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from memorymark.report.charts.palette import HEIGHT, category_legend, category_scale

Rows = Sequence[Mapping[str, Any]]


def data(rows: Rows) -> alt.InlineData:
    """Put rows into a chart as they are."""
    return alt.InlineData(values=[dict(row) for row in rows])


def category_colour() -> alt.Color:
    """Colour by memory category."""
    scale, legend = alt.Scale(**category_scale()), alt.Legend(**category_legend())
    return alt.Color("category:N", title=None, scale=scale, legend=legend)


def finish(layers: Sequence[alt.Chart], described: str, height: int = HEIGHT) -> alt.LayerChart:
    """Lay charts over one another and say in words what they show."""
    return alt.layer(*layers).properties(width="container", height=height, description=described)
