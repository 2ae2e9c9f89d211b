"""Memory and throughput over the batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt

from memorymark.analysis import Analysis, Mark
from memorymark.charts.palette import (
    GROUND,
    LIMIT,
    LINE,
    MARK_COLOURS,
    data,
    exact,
    finish,
    in_gib,
)
from memorymark.trial import Outcome, Trial
from memorymark.units import gib, rate

MARKS = ("current", "optimal", "max")
_TOOLTIP = [
    alt.Tooltip("batch:Q", title="Batch size"),
    alt.Tooltip("what:N", title="Outcome"),
    alt.Tooltip("memory_text:N", title="Memory"),
    alt.Tooltip("bytes:N", title="Exactly"),
    alt.Tooltip("rate_text:N", title="Samples/s"),
    alt.Tooltip("source:N", title="Source"),
]
_WORDS = {
    Outcome.OK: "fits",
    Outcome.OOM: "out of memory",
    Outcome.ERROR: "error",
}


_ROOM = 1.2
_MARK_LINE_PIXELS = 15


def latest_by_batch(trials: Sequence[Trial]) -> list[Trial]:
    """Return the last trial at each batch size, by rising batch size."""
    latest = {trial.batch_size: trial for trial in trials}
    return [latest[batch_size] for batch_size in sorted(latest)]


def memory_over_batch(analysis: Analysis) -> alt.LayerChart:
    """Draw the memory of each trial, the line through them, the capacity and the marks."""
    trials = latest_by_batch(analysis.trials)
    rows = [row for trial in trials if (row := _memory_row(trial, analysis))]
    axes = _Axes(analysis, rows, "memory", "Memory (GiB)", in_gib(analysis.capacity_bytes))
    layers = [
        *_capacity(analysis),
        *_mark_layers(analysis, axes, lambda mark: in_gib(mark.memory_bytes)),
        _line([row for row in rows if row["ok"]], axes),
        *_points(rows, axes),
    ]
    return finish(layers, _memory_words(analysis))


def throughput_over_batch(analysis: Analysis) -> alt.LayerChart:
    """Draw the samples per second of each trial and the marks; the knee is the optimal one."""
    fitting = [t for t in latest_by_batch(analysis.trials) if t.samples_per_second is not None]
    rows = [{**_row(trial), "rate": trial.samples_per_second} for trial in fitting]
    axes = _Axes(analysis, rows, "rate", "Samples per second")
    layers = [
        *_mark_layers(analysis, axes, lambda mark: mark.samples_per_second),
        _line(rows, axes),
        *_points(rows, axes),
    ]
    return finish(layers, _throughput_words(analysis))


class _Axes:
    """The two axes of a chart, with room for the marks' names above and beside the points."""

    def __init__(
        self,
        analysis: Analysis,
        rows: Sequence[dict[str, Any]],
        field: str,
        title: str,
        least_top: float | None = None,
    ) -> None:
        marks = [mark.batch_size for _, mark in grouped_marks(analysis)]
        self.largest = max([row["batch"] for row in rows] + marks, default=1)
        top = max([row[field] for row in rows] + [least_top or 0.0]) or 1.0
        self.field = field
        self.x = alt.X(
            "batch:Q",
            title="Batch size",
            scale=alt.Scale(domain=[0, self.largest * 1.04], nice=False),
            axis=alt.Axis(tickCount=8, labelOverlap=True),
        )
        scale = alt.Scale(domain=[0, top * _ROOM], nice=False)
        self.y = alt.Y(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6))


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "batch": trial.batch_size,
        "ok": trial.fits,
        "what": _WORDS[trial.outcome],
        "memory_text": gib(trial.memory_bytes),
        "bytes": exact(trial.memory_bytes),
        "rate_text": rate(trial.samples_per_second),
        "source": str(trial.source),
    }


def _memory_row(trial: Trial, analysis: Analysis) -> dict[str, Any] | None:
    memory = trial.memory_bytes
    if memory is None and trial.outcome is Outcome.OOM:
        memory = analysis.capacity_bytes
    if memory is None:
        return None
    return {**_row(trial), "memory": in_gib(memory)}


def _line(rows: Sequence[dict[str, Any]], axes: _Axes) -> alt.Chart:
    chart = alt.Chart(data(rows)).mark_line(color=LINE, strokeWidth=2)
    return chart.encode(x=axes.x, y=axes.y)


def _points(rows: Sequence[dict[str, Any]], axes: _Axes) -> list[alt.Chart]:
    base = {"x": axes.x, "y": axes.y, "tooltip": _TOOLTIP}
    styles = {
        "measured": {"filled": True},
        "simulated": {"filled": False, "strokeWidth": 2},
    }
    layers = [
        alt.Chart(data([row for row in rows if row["ok"] and row["source"] == source]))
        .mark_point(color=LINE, size=70, opacity=1, **style)
        .encode(**base)
        for source, style in styles.items()
    ]
    failed = alt.Chart(data([row for row in rows if not row["ok"]])).mark_point(
        shape="cross", angle=45, filled=True, color=LIMIT, size=130, opacity=1
    )
    return [*layers, failed.encode(**base)]


def _capacity(analysis: Analysis) -> list[alt.Chart]:
    capacity = in_gib(analysis.capacity_bytes)
    if capacity is None:
        return []
    kept = capacity * (1 - analysis.options.headroom)
    row = [{"memory": capacity, "kept": kept, "text": f"capacity {capacity:,.2f} GiB"}]
    base = alt.Chart(data(row))
    return [
        base.mark_rect(color=LIMIT, opacity=0.12).encode(y="kept:Q", y2="memory"),
        base.mark_rule(color=LIMIT, strokeWidth=2).encode(y="memory:Q"),
        base.mark_text(
            color=LIMIT, align="left", baseline="bottom", dx=4, dy=-4, fontWeight="bold"
        ).encode(y="memory:Q", x=alt.value(0), text="text:N"),
    ]


def _mark_layers(
    analysis: Analysis, axes: _Axes, value: Callable[[Mark], float | None]
) -> list[alt.Chart]:
    rows = [
        {
            "batch": mark.batch_size,
            "text": f"{' = '.join(names)} {mark.batch_size:,}",
            "colour": MARK_COLOURS[names[-1]],
            axes.field: value(mark),
            "between": mark.interpolated,
        }
        for names, mark in grouped_marks(analysis)
    ]
    colour = alt.Color("colour:N", scale=None)
    between = alt.Chart(data([row for row in rows if row["between"]]))
    diamonds = between.mark_point(shape="diamond", size=110, strokeWidth=2, color=GROUND)
    rules = alt.Chart(data(rows)).mark_rule(strokeDash=[4, 4], strokeWidth=1.5)
    return [
        rules.encode(x=axes.x, color=colour),
        *_mark_names(rows, axes, colour),
        diamonds.encode(x=axes.x, y=axes.y),
    ]


def _mark_names(rows: Sequence[dict[str, Any]], axes: _Axes, colour: alt.Color) -> list[alt.Chart]:
    """Write each mark's name on a line of its own, on the side of its rule that has room."""
    layers = []
    for number, row in enumerate(rows):
        is_right = row["batch"] > axes.largest / 2
        text = alt.Chart(data([row])).mark_text(
            align="right" if is_right else "left", dx=-5 if is_right else 5, fontWeight="bold"
        )
        y = alt.value(8 + _MARK_LINE_PIXELS * number)
        layers.append(text.encode(x=axes.x, y=y, text="text:N", color=colour))
    return layers


def grouped_marks(analysis: Analysis) -> list[tuple[list[str], Mark]]:
    """Return the marks by rising batch size, those at the same batch size together."""
    groups: dict[int, tuple[list[str], Mark]] = {}
    for name in MARKS:
        mark = getattr(analysis, name)
        if mark.batch_size is not None:
            groups.setdefault(mark.batch_size, ([], mark))[0].append(name)
    return [groups[batch_size] for batch_size in sorted(groups)]


def _memory_words(analysis: Analysis) -> str:
    marks = ", ".join(
        f"{name} batch {mark.batch_size} at {gib(mark.memory_bytes)}"
        for name in MARKS
        if (mark := getattr(analysis, name)).batch_size is not None
    )
    return (
        f"Memory over batch size of {analysis.workload} on {analysis.target.name}, "
        f"{analysis.target.source}; capacity {gib(analysis.capacity_bytes)}; {marks or 'no marks'}."
    )


def _throughput_words(analysis: Analysis) -> str:
    return (
        f"Samples per second over batch size of {analysis.workload} on {analysis.target.name}: "
        f"{rate(analysis.current.samples_per_second)} at the current batch, "
        f"{rate(analysis.optimal.samples_per_second)} at the optimal one."
    )
