"""Where the memory of a step goes: by category, by holder, over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from memorymark.records.held_memory import CATEGORIES, REPEATED, HolderGroup, Timeline
from memorymark.records.operation_names import is_operation, plain_operation
from memorymark.records.trial import Trial
from memorymark.report.charts.palette import (
    CATEGORY_WORDS,
    GROUND,
    PHASE_COLOURS,
    PHASE_WORDS,
    exact,
    in_gib,
)
from memorymark.report.charts.vega import (
    NAME_LINE,
    NAMES_ABOVE_BARS,
    NUMBER,
    Spec,
    across,
    axis,
    by_label,
    category_colour,
    chart,
    layer,
    number,
    words,
)
from memorymark.units import UNKNOWN, gib, mib_or_gib

_BAR = 42
_AXIS = 70
_AXIS_AND_LEGEND = 165
_STEP_HEIGHT = 370
_MAX_POINTS = 600
_LONGEST_PATH = 40
_HOLDER = 36
_AMOUNT = [words("text", title="Memory"), words("bytes", title="Exactly")]
_GIB_AXIS = {"tickCount": 4, "format": NUMBER, "labelOverlap": True}


def category_bars(trials: Mapping[str, Trial]) -> Spec:
    """Draw what is alive at the peak, stacked by category, a bar for each labelled trial."""
    rows = [row for label, trial in trials.items() for row in _category_rows(label, trial)]
    encoding = {
        "x": number("memory", title="Peak allocated (GiB)", stack=True, axis=_GIB_AXIS),
        "y": words("label", title=None, sort=list(trials), axis=NAMES_ABOVE_BARS),
        "color": category_colour(),
        "order": number("order"),
        "tooltip": [words("label", title="Batch"), words("category", title="Category"), *_AMOUNT],
    }
    said = "; ".join(f"{label}: {gib(t.peak_allocated_bytes)}" for label, t in trials.items())
    height = _BAR * max(len(trials), 1) + _AXIS_AND_LEGEND
    bars = layer(rows, "bar", encoding, height=_BAR - 24, yOffset=NAME_LINE)
    return chart([bars], f"Peak allocated memory by category. {said}.", height)


def holder_bars(trial: Trial) -> Spec:
    """Draw the largest holders at the peak, modules of one kind as one bar, by category."""
    labels = holder_labels(trial)
    bars = {label: sum(parts.values()) for label, parts in labels.items()}
    order = sorted(bars, key=lambda label: -bars[label])
    rows = [
        {
            "label": label,
            "category": CATEGORY_WORDS.get(name, name),
            "order": CATEGORIES.index(name),
            "memory": in_gib(value),
            "text": mib_or_gib(value),
            "whole": mib_or_gib(bars[label]),
            "bytes": exact(value),
        }
        for label in order
        for name, value in labels[label].items()
    ]
    encoding = {
        "x": number("memory", title="Memory at the peak (GiB)", stack=True, axis=_GIB_AXIS),
        "y": words("label", title=None, sort=order, axis=NAMES_ABOVE_BARS),
        "color": category_colour(with_legend=False),
        "order": number("order"),
        "tooltip": [
            words("label", title="Module"),
            words("whole", title="All it holds"),
            words("category", title="Category"),
            *_AMOUNT,
        ],
    }
    named = ", ".join(f"{label} {mib_or_gib(bars[label])}" for label in order[:3])
    height = _HOLDER * max(len(order), 1) + _AXIS
    drawn = layer(rows, "bar", encoding, height=12, yOffset=NAME_LINE)
    return chart([drawn], f"The largest consumers of memory at the peak: {named}.", height)


def holder_labels(trial: Trial) -> dict[str, dict[str, int]]:
    """Return bytes by category for each bar's label; no two kinds of module have one label.

    A record that is older than its groups has the ten largest holders, each drawn for itself.
    """
    groups = trial.holder_groups
    held: dict[str, dict[str, int]] = {}
    if groups:
        labels = group_labels(groups)
        for group in groups:
            parts = {name: getattr(group.breakdown, name) for name in CATEGORIES}
            held[labels[group.path]] = {name: size for name, size in parts.items() if size}
        return held
    labels = _unlike({holder.path: _plain(holder.path) for holder in trial.holders})
    for holder in trial.holders:
        parts = held.setdefault(labels[holder.path], {})
        parts[holder.category] = parts.get(holder.category, 0) + holder.bytes
    return held


def group_labels(groups: Sequence[HolderGroup]) -> dict[str, str]:
    """Return what people call each group, by its path, as in "12 × intermediate.dense"."""
    ends = {group.path: _end(group) for group in groups}
    met = Counter(ends.values())
    told = {
        path: path if met[end] > 1 and not is_operation(path) else end for path, end in ends.items()
    }
    counts = {group.path: group.count for group in groups}
    return {
        path: f"{counts[path]} × {name}" if REPEATED in path or counts[path] > 1 else name
        for path, name in _unlike(told).items()
    }


def _end(group: HolderGroup) -> str:
    """Return the end of a path that says which part of a layer it is."""
    if REPEATED not in group.path:
        return _plain(group.path)
    layers = group.path.removesuffix(f".{REPEATED}")
    return layers.rpartition("." if layers != group.path else f"{REPEATED}.")[2]


def _plain(path: str) -> str:
    """Return a holder's name; older records have operations as torch writes them."""
    return plain_operation(path) if is_operation(path) else path


def _unlike(names: Mapping[str, str]) -> dict[str, str]:
    """Shorten long names, by key, to their ends; those that would read alike are numbered."""
    short: dict[str, str] = {}
    taken: set[str] = set()
    for key, name in names.items():
        label, number_of = _shortened(name), 1
        while label in taken:
            number_of += 1
            label = f"{_shortened(name)} ({number_of})"
        taken.add(label)
        short[key] = label
    return short


def step_timeline(trial: Trial) -> Spec:
    """Draw live bytes over one step, its phases as bands that the legend names."""
    timeline = trial.timeline
    if timeline is None:
        raise ValueError("the trial has no timeline")
    rows = _timeline_rows(timeline)
    end = max(timeline.positions, default=0)
    title = "Allocations and releases in order"
    peak = max(timeline.allocated_bytes, default=0)
    x = across("position", title, end, 4)
    y = axis("memory", "Allocated (GiB)", (in_gib(peak) or 1.0) * 1.05, 5)
    tooltip = [words("phase", title="Phase"), *_AMOUNT]
    bands = _phase_bands(timeline, end)
    for row in rows:
        row["phase"] = next(
            (b["phase"] for b in reversed(bands) if b["start"] <= row["position"]), UNKNOWN
        )
    colours = {band["phase"]: PHASE_COLOURS.get(band["name"], GROUND) for band in bands}
    band = {
        "x": {**x, "field": "start"},
        "x2": {"field": "end"},
        "color": by_label("phase", colours, symbolType="square"),
    }
    line = {"color": GROUND, "strokeWidth": 1.5}
    area = {"x": x, "y": y, "tooltip": tooltip}
    layers = [
        layer(bands, "rect", band, opacity=0.3),
        layer(rows, "area", area, color=GROUND, opacity=0.45, line=line, interpolate="step-after"),
    ]
    described = f"Allocated memory during one step; the peak is {gib(peak)}."
    return chart(layers if bands else layers[1:], described, _STEP_HEIGHT)


def _phase_bands(timeline: Timeline, end: int) -> list[dict[str, Any]]:
    """Return where each phase begins and ends; phases that hold no event are left out."""
    starts = [start for _, start in timeline.phases]
    return [
        {"name": name, "phase": PHASE_WORDS.get(name, name), "start": start, "end": until}
        for (name, start), until in zip(timeline.phases, [*starts[1:], end], strict=True)
        if until > start
    ]


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
