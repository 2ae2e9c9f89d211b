"""Where the memory of a step goes: by category, by holder, over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from memorymark.charts.palette import (
    CATEGORY_COLOURS,
    CATEGORY_WORDS,
    GROUND,
    category_colour,
    data,
    exact,
    finish,
    in_gib,
)
from memorymark.trial import CATEGORIES, Timeline, Trial
from memorymark.units import gib, mib_or_gib

_BAR = 34
_AXIS = 70
_AXIS_AND_LEGEND = 175
_MAX_POINTS = 600
_LONGEST_PATH = 32


def category_bars(trials: Mapping[str, Trial]) -> alt.LayerChart:
    """Draw what is alive at the peak, stacked by category, a bar for each labelled trial."""
    rows = [row for label, trial in trials.items() for row in _category_rows(label, trial)]
    bars = (
        alt.Chart(data(rows))
        .mark_bar(height=_BAR - 8)
        .encode(
            x=alt.X("memory:Q", title="Allocated at the peak (GiB)", stack=True),
            y=alt.Y("label:N", title=None, sort=list(trials), axis=alt.Axis(labelLimit=260)),
            color=category_colour(),
            order=alt.Order("order:Q"),
            tooltip=_tooltip("label", "category"),
        )
    )
    said = "; ".join(f"{label}: {gib(t.peak_allocated_bytes)}" for label, t in trials.items())
    height = _BAR * max(len(trials), 1) + _AXIS_AND_LEGEND
    return finish([bars], f"Memory at the peak by category. {said}.", height)


def holder_bars(trial: Trial) -> alt.LayerChart:
    """Draw the largest holders at the peak, coloured by their category."""
    rows = [
        {
            "path": holder.path,
            "label": _shortened(holder.path),
            "category": CATEGORY_WORDS[holder.category],
            "memory": in_gib(holder.bytes),
            "text": mib_or_gib(holder.bytes),
            "bytes": exact(holder.bytes),
        }
        for holder in trial.holders
    ]
    order = [row["label"] for row in rows]
    bars = (
        alt.Chart(data(rows))
        .mark_bar()
        .encode(
            x=alt.X("memory:Q", title="GiB"),
            y=alt.Y("label:N", title=None, sort=order, axis=alt.Axis(labelLimit=240)),
            color=category_colour(legend=None),
            tooltip=_tooltip("path", "category"),
        )
    )
    named = ", ".join(f"{holder.path} {mib_or_gib(holder.bytes)}" for holder in trial.holders[:3])
    return finish(
        [bars],
        f"The largest holders of memory: {named}.",
        26 * max(len(rows), 1) + _AXIS_AND_LEGEND,
    )


def step_timeline(trial: Trial) -> alt.LayerChart:
    """Draw live bytes over one step, with where its phases begin."""
    timeline = trial.timeline
    if timeline is None:
        raise ValueError("the trial has no timeline")
    area = (
        alt.Chart(data(_timeline_rows(timeline)))
        .mark_area(
            color=CATEGORY_COLOURS["activations"],
            opacity=0.35,
            line={"color": CATEGORY_COLOURS["activations"]},
            interpolate="step-after",
        )
        .encode(
            x=alt.X("position:Q", title="Allocations and releases, in order"),
            y=alt.Y("memory:Q", title="Live memory (GiB)"),
            tooltip=[
                alt.Tooltip("position:Q", title="Event"),
                alt.Tooltip("text:N", title="Live"),
                alt.Tooltip("bytes:N", title="Exactly"),
            ],
        )
    )
    phases = alt.Chart(
        data([{"phase": name, "position": position} for name, position in timeline.phases])
    )
    rules = phases.mark_rule(color=GROUND, strokeDash=[3, 3]).encode(x="position:Q")
    names = phases.mark_text(
        color=GROUND, align="right", baseline="top", angle=270, dx=-4, dy=3, fontSize=12
    ).encode(x="position:Q", y=alt.value(0), text="phase:N")
    peak = max(timeline.allocated_bytes, default=None)
    return finish([area, rules, names], f"Memory over one step; the peak is {gib(peak)}.", 370)


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


def _tooltip(*names: str) -> list[alt.Tooltip]:
    told = [alt.Tooltip(f"{name}:N", title=name.capitalize()) for name in names]
    return [*told, alt.Tooltip("text:N", title="Memory"), alt.Tooltip("bytes:N", title="Exactly")]
