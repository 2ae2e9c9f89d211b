"""Sessions: what they demand, memory while they take turns, and how many fit by context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memorymark.records.session_demand import Demand
from memorymark.records.session_run import Act, ContextRoom, SessionEvent, SessionRun
from memorymark.report.charts.palette import GROUND, HEIGHT, LIMIT, LINE, exact, in_gib
from memorymark.report.charts.vega import (
    NUMBER,
    Rows,
    Spec,
    across,
    axis,
    by_label,
    chart,
    layer,
    number,
    words,
)
from memorymark.units import count, gib, seconds

_WEIGHTS, _BESIDE = "Weights", "Beside them in a pass"
_FITS, _TOO_MUCH = "Caches that fit", "Caches that do not"
_PARTS = {_WEIGHTS: "#3f74d8", _BESIDE: "#8793a1", _FITS: "#1f9e88", _TOO_MUCH: "#e08a2c"}
_ALLOCATED, _RESERVED = "Allocated", "Reserved"
_OUT, _IN = "Swap to the host", "Swap to the device"
_MOVES = {Act.SWAP_OUT: _OUT, Act.SWAP_IN: _IN}
_MOST_POINTS = 1500
_BAR_HEIGHT = 150


def demand_bar(demand: Demand) -> Spec:
    """Draw what sessions need at once as one bar, with the capacity."""
    parts = (
        (_WEIGHTS, demand.weights_bytes),
        (_BESIDE, demand.beside_bytes),
        (_FITS, demand.fitting_bytes),
        (_TOO_MUCH, demand.missing_bytes),
    )
    rows = [
        {"part": name, "order": order, "memory": in_gib(size), "text": gib(size), "all": "sessions"}
        for order, (name, size) in enumerate(parts)
        if size
    ]
    end = 1.05 * (in_gib(max(demand.total_bytes, demand.capacity_bytes or 0)) or 1.0)
    x = across("memory", "Memory (GiB)", end, 6)
    colours = {name: _PARTS[name] for name, size in parts if size}
    limit = f"Capacity: {gib(demand.capacity_bytes)}"
    colours |= {} if demand.capacity_bytes is None else {limit: LIMIT}
    colour = by_label("part", colours)
    tooltip = [words("part", title="Part"), words("text", title="Memory")]
    drawn = {"x": {**x, "stack": True}, "color": colour, "order": number("order")}
    bars = layer(rows, "bar", {**drawn, "tooltip": tooltip}, height=36)
    limits = [{"memory": in_gib(demand.capacity_bytes), "part": limit}]
    rule = layer(
        limits if demand.capacity_bytes is not None else [],
        "rule",
        {"x": x, "color": colour},
        strokeWidth=3,
    )
    said = ", ".join(f"{row['part']} {row['text']}" for row in rows)
    described = f"Demand of {count(demand.sessions)} sessions: {said}; capacity {limit[10:]}."
    return chart([bars, rule], described, _BAR_HEIGHT)


def memory_over_turns(run: SessionRun) -> Spec:
    """Draw memory after each act, over time where it is known, with capacity and swaps."""
    timed = bool(run.timeline) and all(event.at_seconds is not None for event in run.timeline)
    events = _thinned(run.timeline)
    rows = [row for at, event in events for row in _event_rows(event, None if timed else at)]
    top = max([row["memory"] for row in rows] + [in_gib(run.capacity_bytes) or 0.0], default=1.0)
    end = max((row["at"] for row in rows), default=1.0) or 1.0
    x = across("at", "Time (s)" if timed else "Acts", end, 8)
    y = axis("memory", "Memory (GiB)", (top or 1.0) * 1.08, 6)
    limit = f"Capacity: {gib(run.capacity_bytes)}"
    named = {row["kind"] for row in rows}
    known = {_ALLOCATED: LINE, _RESERVED: GROUND, _OUT: "#e08a2c", _IN: "#8d62d3"}
    colours = {name: colour for name, colour in known.items() if name in named}
    colours |= {} if run.capacity_bytes is None else {limit: LIMIT}
    colour = by_label("kind", colours)
    drawn = {"x": x, "y": y, "color": colour, "tooltip": _event_tooltip()}
    steps = {"interpolate": "step-after", "strokeWidth": 2}
    limits = [] if run.capacity_bytes is None else [{"memory": in_gib(run.capacity_bytes)}]
    layers = [layer(limits, "rule", {"y": y}, color=LIMIT, strokeWidth=2)]
    for kind in (_RESERVED, _ALLOCATED):
        layers.append(layer(_of_kind(rows, kind), "line", drawn, **steps))
    marks = [*_of_kind(rows, _OUT), *_of_kind(rows, _IN)]
    layers.append(layer(marks, "point", drawn, filled=True, size=36, opacity=0.9))
    return chart(layers, _turns_words(run), HEIGHT)


def sessions_by_context(rooms: Sequence[ContextRoom]) -> Spec:
    """Draw how many sessions there is room for, by bytes alone, over their context."""
    rows = [
        {"context": room.context_tokens, "sessions": room.sessions, "cache": gib(room.cache_bytes)}
        for room in rooms
        if room.sessions
    ]
    log = {
        "scale": {"type": "log", "nice": False},
        "axis": {"format": NUMBER, "labelOverlap": True},
    }
    drawn = {
        "x": number("context", title="Context (tokens)", **log),
        "y": number("sessions", title="Sessions by bytes alone", **log),
        "tooltip": [
            number("context", title="Context", format=NUMBER),
            number("sessions", title="Sessions", format=NUMBER),
            words("cache", title="Cache of one"),
        ],
    }
    said = "; ".join(f"{row['sessions']:,} at {row['context']:,} tokens" for row in rows)
    layers = [
        layer(rows, "line", drawn, strokeWidth=2, color=LINE),
        layer(rows, "point", drawn, filled=True, size=60, opacity=1, color=LINE),
    ]
    return chart(layers, f"Sessions that there is room for: {said or 'none'}.", HEIGHT - 80)


def _thinned(events: Sequence[SessionEvent]) -> list[tuple[int, SessionEvent]]:
    """Number events and leave out some of many; swaps and the first and last stay."""
    each = max(len(events) // _MOST_POINTS, 1)
    last = len(events) - 1
    return [
        (position + 1, event)
        for position, event in enumerate(events)
        if position % each == 0 or position == last or event.act in _MOVES
    ]


def _event_rows(event: SessionEvent, number_of_act: int | None) -> list[dict[str, Any]]:
    sizes = {_ALLOCATED: event.allocated_bytes, _RESERVED: event.reserved_bytes}
    kinds = [*sizes, *([_MOVES[event.act]] if event.act in _MOVES else [])]
    return [
        {
            "at": event.at_seconds if number_of_act is None else number_of_act,
            "memory": in_gib(size),
            "kind": kind,
            "what": f"{event.act}, session {event.session:,}, turn {event.turn:,}",
            "text": exact(size),
            "took": seconds(event.seconds),
        }
        for kind in kinds
        if (size := sizes.get(kind, event.allocated_bytes)) is not None
    ]


def _event_tooltip() -> list[Spec]:
    return [
        words("kind", title="Memory"),
        words("what", title="After"),
        words("text", title="Bytes"),
        words("took", title="Took"),
    ]


def _of_kind(rows: Rows, kind: str) -> list[Any]:
    return [row for row in rows if row["kind"] == kind]


def _turns_words(run: SessionRun) -> str:
    return (
        f"Memory while {count(run.plan.sessions)} sessions take turns: at most "
        f"{gib(run.peak_allocated_bytes)} allocated of {gib(run.capacity_bytes)}, "
        f"{len(run.swaps):,} swaps."
    )
