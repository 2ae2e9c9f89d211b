"""Sessions: what they demand, memory over their turns, and how many fit by context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from memorymark.records.session_demand import Demand
from memorymark.records.session_run import Act, ContextRoom, SessionEvent, SessionRun
from memorymark.report.charts.palette import GROUND, HEIGHT, LIMIT, LINE, exact
from memorymark.report.charts.session_turns import Turn, plateau_bytes, thinned, turns_in_order
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
from memorymark.units import GIB, MIB, count, mib_or_gib, seconds

_WEIGHTS, _BESIDE = "Weights", "Beside them in a pass"
_FITS, _TOO_MUCH = "Caches that fit", "Caches that do not"
_PARTS = {_WEIGHTS: "#3f74d8", _BESIDE: "#8793a1", _FITS: "#1f9e88", _TOO_MUCH: "#e08a2c"}
_ALLOCATED, _PEAK, _RESERVED = "After the turn", "Peak of the turn", "Reserved"
_OUT, _IN = "Swap to the host", "Swap to the device"
_MOVES = {Act.SWAP_OUT: _OUT, Act.SWAP_IN: _IN}
_COLOURS = {
    _ALLOCATED: LINE, _PEAK: "#1f9e88", _RESERVED: GROUND, _OUT: "#e08a2c", _IN: "#8d62d3",
}  # fmt: skip
_PLATEAU_COLOUR, _END_COLOUR = "#a08a10", "#c45a92"
_MOST_TURNS, _MOST_DOTS = 1500, 60
# On a telephone each name of the legend takes a line of the chart's height.
_BAR_HEIGHT, _BAR_LINE, _TURNS_LINE = 160, 32, 20


class _Unit(NamedTuple):
    """The unit of an axis: MiB where GiB would be all zeros."""

    name: str
    size: int

    def of(self, value: int) -> float:
        return value / self.size

    @property
    def title(self) -> str:
        return f"Memory ({self.name})"


def _unit_for(most: int) -> _Unit:
    return _Unit("GiB", GIB) if most >= GIB else _Unit("MiB", MIB)


def demand_bar(demand: Demand) -> Spec:
    """Draw what sessions need at once as one bar, with the capacity."""
    parts = (
        (_WEIGHTS, demand.weights_bytes),
        (_BESIDE, demand.beside_bytes),
        (_FITS, demand.fitting_bytes),
        (_TOO_MUCH, demand.missing_bytes),
    )
    most = max(demand.total_bytes, demand.capacity_bytes or 0)
    unit = _unit_for(most)
    rows = [
        {
            "part": name, "order": order, "memory": unit.of(size), "text": mib_or_gib(size),
            "all": "sessions",
        }
        for order, (name, size) in enumerate(parts)
        if size
    ]  # fmt: skip
    x = across("memory", unit.title, 1.05 * (unit.of(most) or 1.0), 6)
    colours = {name: _PARTS[name] for name, size in parts if size}
    limit = f"Capacity: {mib_or_gib(demand.capacity_bytes)}"
    colours |= {} if demand.capacity_bytes is None else {limit: LIMIT}
    colour = by_label("part", colours)
    tooltip = [words("part", title="Part"), words("text", title="Memory")]
    drawn = {"x": {**x, "stack": True}, "color": colour, "order": number("order")}
    bars = layer(rows, "bar", {**drawn, "tooltip": tooltip}, height=36)
    capacity = demand.capacity_bytes
    limits = [] if capacity is None else [{"memory": unit.of(capacity), "part": limit}]
    rule = layer(limits, "rule", {"x": x, "color": colour}, strokeWidth=3)
    said = ", ".join(f"{row['part']} {row['text']}" for row in rows)
    described = f"Demand of {count(demand.sessions)} sessions: {said}; capacity {limit[10:]}."
    return chart([bars, rule], described, _BAR_HEIGHT + _BAR_LINE * len(colours))


def memory_over_turns(run: SessionRun) -> Spec:
    """Draw memory over the sessions' turns in order, with capacity, plateau and swaps."""
    every = turns_in_order(run.timeline)
    shown, plateau = thinned(every, _MOST_TURNS), plateau_bytes(every)
    peaks = [turn.peak_bytes for turn in every]
    most = max([*peaks, run.peak_reserved_bytes or 0, run.capacity_bytes or 0])
    unit = _unit_for(most)
    rows = [row for turn in shown for row in _turn_rows(turn, unit)]
    limits = _limits(run, plateau)
    ended = _ended(run, every, unit)
    named = {row["kind"] for row in rows}
    colours = {name: colour for name, colour in _COLOURS.items() if name in named}
    colours |= {name: colour for name, _, colour in limits}
    colours |= {row["kind"]: _END_COLOUR for row in ended}
    colour = by_label("kind", colours)
    x = across("at", "Turns of sessions, in order", max(len(every) + len(ended), 1) + 0.5, 8)
    y = axis("memory", unit.title, (unit.of(most) or 1.0) * 1.08, 6)
    drawn = {"x": x, "y": y, "color": colour, "tooltip": _turn_tooltip()}
    layers = [
        layer(
            [{"memory": unit.of(size), "kind": name}], "rule", {"y": y, "color": colour},
            strokeWidth=2, strokeDash=[] if name.startswith("Capacity") else [6, 4],
        )
        for name, size, _ in limits
    ]  # fmt: skip
    dotted = float(len(shown) <= _MOST_DOTS)  # without, they still carry the tooltip
    for kind in (_RESERVED, _PEAK, _ALLOCATED):
        steps = layer(_of_kind(rows, kind), "line", drawn, interpolate="step", strokeWidth=2)
        dots = layer(_of_kind(rows, kind), "point", drawn, filled=True, size=30, opacity=dotted)
        layers += [steps, dots]
    marks = [*_of_kind(rows, _OUT), *_of_kind(rows, _IN)]
    layers.append(layer(marks, "point", drawn, filled=True, size=36, opacity=0.9))
    layers.append(layer(ended, "point", drawn, shape="cross", filled=True, size=120, opacity=1))
    return chart(layers, _turns_words(run, plateau), HEIGHT + _TURNS_LINE * len(colours))


def sessions_by_context(rooms: Sequence[ContextRoom]) -> Spec:
    """Draw how many sessions there is room for, by bytes alone, over their context."""
    rows = [
        {
            "context": room.context_tokens,
            "sessions": room.sessions,
            "cache": mib_or_gib(room.cache_bytes),
        }
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


def _limits(run: SessionRun, plateau: int | None) -> list[tuple[str, int, str]]:
    """Return the lines across the chart: name with value, bytes, colour."""
    lines = (
        ("Capacity", run.capacity_bytes, LIMIT), ("Plateau", plateau, _PLATEAU_COLOUR),
    )  # fmt: skip
    return [
        (f"{name}: {mib_or_gib(size)}", size, colour)
        for name, size, colour in lines
        if size is not None
    ]


def _ended(run: SessionRun, turns: Sequence[Turn], unit: _Unit) -> Rows:
    """Return the mark of the session at which a run ended early, if it did."""
    if run.failed_session is None or run.capacity_bytes is None:
        return []
    told = f"Ended at session {count(run.failed_session)}"
    return [
        {
            "at": len(turns) + 1, "memory": unit.of(run.capacity_bytes), "kind": told,
            "what": f"session {count(run.failed_session)}", "text": exact(run.capacity_bytes),
            "when": "—", "took": "—",
        }
    ]  # fmt: skip


def _turn_rows(turn: Turn, unit: _Unit) -> Iterator[dict[str, Any]]:
    last = turn.last
    what = f"session {turn.session:,}, turn {turn.turn:,}"
    sizes = {
        _ALLOCATED: last.allocated_bytes, _PEAK: turn.peak_bytes, _RESERVED: last.reserved_bytes,
    }  # fmt: skip
    for kind, size in sizes.items():
        if size is not None:
            yield _row(turn, unit, kind, what, size, last) | {"took": seconds(turn.seconds)}
    for move in turn.moves:
        moved = f"cache of session {move.session:,}, for {what}"
        yield _row(turn, unit, _MOVES[move.act], moved, move.allocated_bytes, move)


def _row(
    turn: Turn, unit: _Unit, kind: str, what: str, size: int, event: SessionEvent
) -> dict[str, Any]:
    return {
        "at": turn.number, "memory": unit.of(size), "kind": kind, "what": what,
        "text": exact(size), "when": seconds(event.at_seconds), "took": seconds(event.seconds),
    }  # fmt: skip


def _turn_tooltip() -> list[Spec]:
    return [
        words("kind", title="Memory"),
        words("what", title="Of"),
        words("text", title="Bytes"),
        words("when", title="Done at"),
        words("took", title="Took"),
    ]


def _of_kind(rows: Rows, kind: str) -> list[Any]:
    return [row for row in rows if row["kind"] == kind]


def _turns_words(run: SessionRun, plateau: int | None) -> str:
    flat = "" if plateau is None else f", on a plateau of {mib_or_gib(plateau)} after turns"
    return (
        f"Memory while {count(run.plan.sessions)} sessions take turns: at most "
        f"{mib_or_gib(run.peak_allocated_bytes)} allocated of {mib_or_gib(run.capacity_bytes)}"
        f"{flat}, {len(run.swaps):,} swaps."
    )
