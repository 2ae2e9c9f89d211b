"""Colours and words that all charts share, readable on light and on dark ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from memorymark.records.trial import CATEGORIES
from memorymark.units import GIB

CATEGORY_COLOURS: dict[str, str] = {
    "parameters": "#3f74d8",
    "gradients": "#e08a2c",
    "optimizer_states": "#8d62d3",
    "activations": "#1f9e88",
    "inputs": "#c9a820",
    "temporaries": "#8793a1",
    "workspaces": "#c45a92",
}
CATEGORY_WORDS: dict[str, str] = {
    "parameters": "Parameters",
    "gradients": "Gradients",
    "optimizer_states": "Optimizer states",
    "activations": "Activations",
    "inputs": "Inputs",
    "temporaries": "Temporaries",
    "workspaces": "Workspaces",
}
MARK_COLOURS: dict[str, str] = {"current": "#8793a1", "optimal": "#1f9e88", "max": "#3f74d8"}
LINE = "#3f74d8"
LIMIT = "#d64b4b"
GROUND = "#8793a1"
HEIGHT = 360

Rows = Sequence[Mapping[str, Any]]


def data(rows: Rows) -> alt.InlineData:
    """Put rows into a chart as they are."""
    return alt.InlineData(values=[dict(row) for row in rows])


def in_gib(value: int | None) -> float | None:
    """Return bytes as GiB, for an axis."""
    return None if value is None else value / GIB


def exact(value: int | None) -> str:
    """Write bytes exactly, for a tooltip."""
    return "unknown" if value is None else f"{value:,} bytes"


LEGEND = alt.Legend(orient="bottom", columns=2, symbolType="square", columnPadding=6)


def category_colour(legend: alt.Legend | None = LEGEND) -> alt.Color:
    """Colour by memory category, the same in every chart."""
    return alt.Color(
        "category:N",
        title=None,
        scale=alt.Scale(
            domain=[CATEGORY_WORDS[name] for name in CATEGORIES],
            range=[CATEGORY_COLOURS[name] for name in CATEGORIES],
        ),
        legend=legend,
    )


def finish(layers: Sequence[alt.Chart], described: str, height: int = HEIGHT) -> alt.LayerChart:
    """Lay charts over one another and say in words what they show."""
    return alt.layer(*layers).properties(width="container", height=height, description=described)
