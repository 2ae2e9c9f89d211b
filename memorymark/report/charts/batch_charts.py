"""Memory and throughput by batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from memorymark.records.analysis import Analysis, Mark
from memorymark.records.trial import Outcome, Trial
from memorymark.report.charts.palette import GROUND, LIMIT, LINE, MARK_COLOURS, exact, in_gib
from memorymark.report.charts.vega import Spec, axis, chart, layer, number, words
from memorymark.units import gib, gib_range, rate

MARKS = ("current", "optimal", "max")
_TOOLTIP = [
    number("batch", title="Batch size"),
    words("what", title="Outcome"),
    words("memory_text", title="Memory"),
    words("range_text", title="Range"),
    words("bytes", title="Bytes"),
    words("rate_text", title="Samples/s"),
    words("source", title="Source"),
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


def memory_over_batch(analysis: Analysis) -> Spec:
    """Draw the memory of each trial, the line through them, the capacity and the marks."""
    trials = latest_by_batch(analysis.trials)
    rows = [row for trial in trials if (row := _memory_row(trial, analysis))]
    axes = _Axes(analysis, rows, "memory", "Peak memory (GiB)", in_gib(analysis.capacity_bytes))
    layers = [
        *_capacity(analysis, axes),
        *_mark_layers(analysis, axes, lambda mark: in_gib(mark.memory_bytes)),
        *_range_band(trials, axes),
        _line([row for row in rows if row["ok"]], axes),
        *_points(rows, axes),
    ]
    return chart(layers, _memory_words(analysis))


def throughput_over_batch(analysis: Analysis) -> Spec:
    """Draw the samples per second of each trial and the marks; the knee is the optimal one."""
    fitting = [t for t in latest_by_batch(analysis.trials) if t.samples_per_second is not None]
    rows = [{**_row(trial), "rate": trial.samples_per_second} for trial in fitting]
    axes = _Axes(analysis, rows, "rate", "Throughput (samples/s)")
    layers = [
        *_mark_layers(analysis, axes, lambda mark: mark.samples_per_second),
        _line(rows, axes),
        *_points(rows, axes),
    ]
    return chart(layers, _throughput_words(analysis))


def has_range(trial: Trial) -> bool:
    """Return whether the chart draws the trial's memory as a range."""
    return trial.fits and trial.reserved_range is not None


def grouped_marks(analysis: Analysis) -> list[tuple[list[str], Mark]]:
    """Return the marks by rising batch size, those at the same batch size together."""
    groups: dict[int, tuple[list[str], Mark]] = {}
    for name in MARKS:
        mark = getattr(analysis, name)
        if mark.batch_size is not None:
            groups.setdefault(mark.batch_size, ([], mark))[0].append(name)
    return [groups[batch_size] for batch_size in sorted(groups)]


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
        self.x = axis("batch", "Batch size", self.largest * 1.04, 8)
        self.y = axis(field, title, top * _ROOM, 6)
        self.both = {"x": self.x, "y": self.y}


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "batch": trial.batch_size,
        "ok": trial.fits,
        "what": _WORDS[trial.outcome],
        "memory_text": gib(trial.memory_bytes),
        "range_text": gib_range(trial.peak_reserved_low_bytes, trial.peak_reserved_high_bytes),
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


def _line(rows: Sequence[dict[str, Any]], axes: _Axes) -> Spec:
    return layer(rows, "line", axes.both, color=LINE, strokeWidth=2)


def _range_band(trials: Sequence[Trial], axes: _Axes) -> list[Spec]:
    """Draw where the peak may lie; nothing where each is one figure."""
    rows = [
        {
            "batch": trial.batch_size,
            "memory": in_gib(trial.peak_reserved_low_bytes),
            "high": in_gib(trial.peak_reserved_high_bytes),
        }
        for trial in trials
        if has_range(trial)
    ]
    encoding = {"x": axes.x, "y": axes.y, "y2": {"field": "high"}}
    return [layer(rows, "area", encoding, color=LINE, opacity=0.2)] if rows else []


def _points(rows: Sequence[dict[str, Any]], axes: _Axes) -> list[Spec]:
    encoding = {**axes.both, "tooltip": _TOOLTIP}
    same = {"size": 70, "opacity": 1, "color": LINE}
    kinds = {source: _fitting(rows, source) for source in ("measured", "simulated")}
    failed = [row for row in rows if not row["ok"]]
    cross = {"shape": "cross", "angle": 45, "color": LIMIT, "size": 130}
    return [
        layer(kinds["measured"], "point", encoding, filled=True, **same),
        layer(kinds["simulated"], "point", encoding, filled=False, strokeWidth=2, **same),
        layer(failed, "point", encoding, filled=True, opacity=1, **cross),
    ]


def _fitting(rows: Sequence[dict[str, Any]], source: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["ok"] and row["source"] == source]


def _capacity(analysis: Analysis, axes: _Axes) -> list[Spec]:
    capacity = in_gib(analysis.capacity_bytes)
    if capacity is None:
        return []
    kept = capacity * (1 - analysis.options.headroom)
    rows = [{"memory": capacity, "kept": kept, "text": f"capacity {capacity:,.2f} GiB"}]
    band = {"y": {**axes.y, "field": "kept"}, "y2": {"field": "memory"}}
    text = {"y": axes.y, "x": {"value": 0}, "text": words("text")}
    place = {"align": "left", "baseline": "bottom", "dx": 4, "dy": -4, "fontWeight": "bold"}
    return [
        layer(rows, "rect", band, color=LIMIT, opacity=0.12),
        layer(rows, "rule", {"y": axes.y}, color=LIMIT, strokeWidth=2),
        layer(rows, "text", text, color=LIMIT, **place),
    ]


def _mark_layers(
    analysis: Analysis, axes: _Axes, value: Callable[[Mark], float | None]
) -> list[Spec]:
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
    rule = {"x": axes.x, "color": words("colour", scale=None)}
    between = [row for row in rows if row["between"]]
    diamond = {"shape": "diamond", "size": 110, "strokeWidth": 2, "color": GROUND}
    return [
        layer(rows, "rule", rule, strokeDash=[4, 4], strokeWidth=1.5),
        *[_mark_name(row, number, axes) for number, row in enumerate(rows)],
        layer(between, "point", axes.both, filled=False, **diamond),
    ]


def _mark_name(row: dict[str, Any], line: int, axes: _Axes) -> Spec:
    """Write a mark's name on a line of its own, on the side of its rule that has room."""
    is_right = row["batch"] > axes.largest / 2
    side = {"align": "right", "dx": -5} if is_right else {"align": "left", "dx": 5}
    encoding = {"x": axes.x, "y": {"value": 8 + _MARK_LINE_PIXELS * line}, "text": words("text")}
    return layer([row], "text", encoding, color=row["colour"], fontWeight="bold", **side)


def _memory_words(analysis: Analysis) -> str:
    marks = ", ".join(
        f"{name} batch size {mark.batch_size} at {gib(mark.memory_bytes)}"
        for name in MARKS
        if (mark := getattr(analysis, name)).batch_size is not None
    )
    trial = analysis.optimal.trial
    ranged = trial is not None and has_range(trial)
    band = f" At the optimal one {trial.reserved_range}." if ranged else ""
    return (
        f"Peak memory by batch size: {analysis.workload} on {analysis.target.name}, "
        f"{analysis.target.source}; capacity {gib(analysis.capacity_bytes)}; "
        f"{marks or 'no marks'}.{band}"
    )


def _throughput_words(analysis: Analysis) -> str:
    return (
        f"Throughput by batch size: {analysis.workload} on {analysis.target.name}, "
        f"{analysis.target.source}; {rate(analysis.current.samples_per_second)} samples/s at the "
        f"current batch size, {rate(analysis.optimal.samples_per_second)} at the optimal one."
    )
