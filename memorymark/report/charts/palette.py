"""Colours and words that all charts share, readable on light and on dark ground."""

from __future__ import annotations

from typing import Any

from memorymark.records.held_memory import CATEGORIES
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
MARK_WORDS: dict[str, str] = {
    "current": "Current",
    "optimal": "Recommended",
    "max": "Largest that fits",
}
PHASE_COLOURS: dict[str, str] = {
    "forward": "#5f8aa8",
    "forward-end": "#a8705f",
    "backward": "#a8705f",
    "optimizer": "#7d8a3f",
    "step-end": "#87789c",
}
PHASE_WORDS: dict[str, str] = {
    "forward": "Forward",
    "forward-end": "After the forward pass",
    "backward": "Backward",
    "optimizer": "Optimizer",
    "step-end": "End of step",
}
RUN_COLOURS = ("#3f74d8", "#e08a2c", "#1f9e88", "#c45a92", "#8d62d3", "#a08a10")
RUN_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
LINE = "#3f74d8"
LIMIT = "#d64b4b"
GROUND = "#8793a1"
TEXT = "currentColor"  # the page's own colour of text, in either theme
HEIGHT = 360


def category_scale() -> dict[str, Any]:
    """Colour memory categories the same in every chart, as a scale of Vega-Lite."""
    return {
        "domain": [CATEGORY_WORDS[name] for name in CATEGORIES],
        "range": [CATEGORY_COLOURS[name] for name in CATEGORIES],
    }


def category_legend() -> dict[str, Any]:
    """Put the legend of the categories below a chart, as Vega-Lite takes it."""
    columns = {"expr": "width < 480 ? 2 : width < 800 ? 4 : 7"}
    return {"orient": "bottom", "columns": columns, "columnPadding": 8, "symbolType": "square"}


def in_gib(value: int | None) -> float | None:
    """Return bytes as GiB, for an axis."""
    return None if value is None else value / GIB


def exact(value: int | None) -> str:
    """Write bytes exactly, for a tooltip."""
    return "unknown" if value is None else f"{value:,} bytes"
