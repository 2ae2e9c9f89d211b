"""Where the memory of a step goes: by category, by holder, over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memorymark.records.trial import CATEGORIES, Timeline, Trial
from memorymark.report.charts.palette import (
    CATEGORY_COLOURS,
    CATEGORY_WORDS,
    GROUND,
    exact,
    in_gib,
)
from memorymark.report.charts.vega import Spec, category_colour, chart, layer, number, words
from memorymark.units import gib, mib_or_gib

_BAR = 34
_AXIS = 70
_AXIS_AND_LEGEND = 175
_STEP_HEIGHT = 370
_MAX_POINTS = 600
_LONGEST_PATH = 32
_AMOUNT = [words("text", title="Memory"), words("bytes", title="Bytes")]


def category_bars(trials: Mapping[str, Trial]) -> Spec:
    """Draw what is alive at the peak, stacked by category, a bar for each labelled trial."""
    rows = [row for label, trial in trials.items() for row in _category_rows(label, trial)]
    encoding = {
        "x": number("memory", title="Peak allocated (GiB)", stack=True),
        "y": words("label", title=None, sort=list(trials), axis={"labelLimit": 260}),
        "color": category_colour(),
        "order": number("order"),
        "tooltip": [words("label", title="Batch"), words("category", title="Category"), *_AMOUNT],
    }
    said = "; ".join(f"{label}: {gib(t.peak_allocated_bytes)}" for label, t in trials.items())
    height = _BAR * max(len(trials), 1) + _AXIS_AND_LEGEND
    bars = layer(rows, "bar", encoding, height=_BAR - 8)
    return chart([bars], f"Peak allocated memory by category. {said}.", height)


def holder_bars(trial: Trial) -> Spec:
    """Draw the largest holders at the peak, coloured by their category."""
    rows = [
        {
            "path": holder.path,
            "label": _shortened(holder.path),
            "category": CATEGORY_WORDS.get(holder.category, holder.category),
            "memory": in_gib(holder.bytes),
            "text": mib_or_gib(holder.bytes),
            "bytes": exact(holder.bytes),
        }
        for holder in trial.holders
    ]
    order = list(dict.fromkeys(row["label"] for row in rows))
    encoding = {
        "x": number("memory", title="GiB", stack=True, axis={"tickCount": 4}),
        "y": words("label", title=None, sort=order, axis={"labelLimit": 240}),
        "color": category_colour(with_legend=False),
        "tooltip": [words("path", title="Module"), words("category", title="Category"), *_AMOUNT],
    }
    named = ", ".join(f"{holder.path} {mib_or_gib(holder.bytes)}" for holder in trial.holders[:3])
    height = 26 * max(len(order), 1) + _AXIS
    bars = layer(rows, "bar", encoding)
    return chart([bars], f"The largest consumers of memory at the peak: {named}.", height)


def step_timeline(trial: Trial) -> Spec:
    """Draw live bytes over one step, with where its phases begin."""
    timeline = trial.timeline
    if timeline is None:
        raise ValueError("the trial has no timeline")
    colour = CATEGORY_COLOURS["activations"]
    area = {
        "x": number("position", title="Allocations and frees", axis={"tickCount": 5}),
        "y": number("memory", title="Allocated (GiB)"),
        "tooltip": [number("position", title="Event"), *_AMOUNT],
    }
    phases = [{"phase": name, "position": position} for name, position in timeline.phases]
    at = {"x": number("position")}
    name = {**at, "y": {"value": 0}, "text": words("phase")}
    place = {"align": "right", "baseline": "top", "angle": 270, "dx": -4, "dy": 3, "fontSize": 12}
    layers = [
        layer(
            _timeline_rows(timeline), "area", area, color=colour, opacity=0.35,
            line={"color": colour}, interpolate="step-after",
        ),
        layer(phases, "rule", at, color=GROUND, strokeDash=[3, 3]),
        layer(phases, "text", name, color=GROUND, **place),
    ]  # fmt: skip
    peak = max(timeline.allocated_bytes, default=None)
    described = f"Allocated memory during one step; the peak is {gib(peak)}."
    return chart(layers, described, _STEP_HEIGHT)


def _shortened(path: str) -> str:
    """Keep the end of a long path, which tells more than its beginning."""
    return path if len(path) <= _LONGEST_PATH else f"…{path[1 - _LONGEST_PATH :]}"


def _category_rows(label: str, trial: Trial) -> list[dict[str, Any]]:
    if trial.breakdown is None:
        return []
    return [
        {
            "label": label,
            "category": CATEGORY_WORDS[name],
            "order": order,
            "memory": in_gib(value),
            "text": mib_or_gib(value),
            "bytes": exact(value),
        }
        for order, name in enumerate(CATEGORIES)
        if (value := getattr(trial.breakdown, name))
    ]


def _timeline_rows(timeline: Timeline) -> list[dict[str, Any]]:
    pairs = list(zip(timeline.positions, timeline.allocated_bytes, strict=True))
    kept = [max(group, key=lambda pair: pair[1]) for group in _groups(pairs)]
    return [
        {"position": position, "memory": in_gib(value), "text": gib(value), "bytes": exact(value)}
        for position, value in kept
    ]


def _groups(pairs: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Cut the points into groups, of which each is drawn by its highest."""
    size = -(-len(pairs) // _MAX_POINTS) or 1
    return [pairs[start : start + size] for start in range(0, len(pairs), size)]
