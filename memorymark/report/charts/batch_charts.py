"""Memory and throughput by batch size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from memorymark.records.analysis import Analysis
from memorymark.records.mark import Mark
from memorymark.records.trial import Outcome, Trial
from memorymark.report.charts.palette import (
    GROUND,
    LIMIT,
    LINE,
    MARK_COLOURS,
    MARK_WORDS,
    exact,
    in_gib,
)
from memorymark.report.charts.vega import (
    NUMBER,
    Spec,
    across,
    axis,
    by_label,
    chart,
    layer,
    number,
    words,
)
from memorymark.units import gib, gib_range, likely_rate, percent, rate

MARKS = ("current", "optimal", "max")
_TOOLTIP = [
    number("batch", title="Batch size", format=NUMBER),
    words("what", title="Outcome"),
    words("memory_text", title="Memory"),
    words("share", title="Share of capacity"),
    words("bytes", title="Exactly"),
    words("rate_text", title="Throughput"),
    words("source", title="Source"),
]
OUTCOME_WORDS = {
    Outcome.OK: "fits",
    Outcome.OOM: "out of memory",
    Outcome.ERROR: "error",
}
_RANGE = words("range_text", title="Range")
_ROOM = 1.08


def latest_by_batch(trials: Sequence[Trial]) -> list[Trial]:
    """Return the last trial at each batch size, by rising batch size."""
    latest = {trial.batch_size: trial for trial in trials}
    return [latest[batch_size] for batch_size in sorted(latest)]


def trials_drawn(analysis: Analysis) -> list[Trial]:
    """Return the trials by rising batch size, with that of a current batch that was tried later.

    One of another source than the analysis is no point of its line.
    """
    later = analysis.current.trial
    is_point = later is not None and later.source is analysis.target.source
    return latest_by_batch([*analysis.trials, *([later] if is_point else [])])


def memory_over_batch(analysis: Analysis) -> Spec:
    """Draw the memory of each trial, the line through them, the capacity and the marks."""
    trials = trials_drawn(analysis)
    rows = [row for trial in trials if (row := _memory_row(trial, analysis))]
    axes = _Axes(analysis, rows, "memory", "Peak memory (GiB)", in_gib(analysis.capacity_bytes))
    layers = [
        *_capacity(analysis, axes),
        *_mark_layers(
            analysis, axes, lambda mark: in_gib(mark.memory_bytes), _capacity_label(analysis)
        ),
        *_range_band(trials, axes),
        _line([row for row in rows if row["ok"]], axes),
        *_points(rows, axes),
    ]
    return chart(layers, _memory_words(analysis))


def throughput_over_batch(analysis: Analysis) -> Spec:
    """Draw the samples per second of each trial and the marks; the knee is the recommended one."""
    fitting = [t for t in trials_drawn(analysis) if t.samples_per_second is not None]
    rows = [{**_row(trial), "rate": trial.samples_per_second} for trial in fitting]
    most = max((trial.speed_band[1] for trial in fitting if trial.speed_band), default=None)
    axes = _Axes(analysis, rows, "rate", "Throughput (samples/s)", most)
    layers = [
        *_mark_layers(analysis, axes, lambda mark: mark.samples_per_second),
        *_speed_band(fitting, axes),
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


def mark_label(names: Sequence[str], batch_size: int) -> str:
    """Name the marks at one batch size for people.

    Example:
        >>> mark_label(["current", "optimal"], 1496)
        'Current = recommended: 1,496'
    """
    first, *others = [MARK_WORDS[name] for name in names]
    said = " = ".join([first, *(other[0].lower() + other[1:] for other in others)])
    return f"{said}: {batch_size:,}"


class _Axes:
    """The two axes of a chart, with room beyond the outermost points."""

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
        self.x = across("batch", "Batch size", self.largest * 1.04, 8)
        self.y = axis(field, title, top * _ROOM, 6)
        self.both = {"x": self.x, "y": self.y}


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "batch": trial.batch_size,
        "ok": trial.fits,
        "what": OUTCOME_WORDS[trial.outcome],
        "memory_text": gib(trial.memory_bytes),
        "range_text": gib_range(trial.peak_reserved_low_bytes, trial.peak_reserved_high_bytes),
        "share": percent(trial.capacity_share),
        "bytes": exact(trial.memory_bytes),
        "rate_text": f"{rate(trial.samples_per_second)} samples/s{likely_rate(trial.speed_band)}",
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


def _speed_band(trials: Sequence[Trial], axes: _Axes) -> list[Spec]:
    """Draw where an estimated throughput is likely to lie; nothing where all are measured."""
    rows = [
        {"batch": trial.batch_size, "rate": trial.speed_band[0], "high": trial.speed_band[1]}
        for trial in trials
        if trial.speed_band
    ]
    encoding = {"x": axes.x, "y": axes.y, "y2": {"field": "high"}}
    return [layer(rows, "area", encoding, color=LINE, opacity=0.2)] if rows else []


def _points(rows: Sequence[dict[str, Any]], axes: _Axes) -> list[Spec]:
    ranged = [_RANGE] if any(" to " in row["range_text"] for row in rows) else []
    encoding = {**axes.both, "tooltip": [*_TOOLTIP, *ranged]}
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
    rows = [{"memory": capacity, "kept": kept}]
    band = {"y": {**axes.y, "field": "kept"}, "y2": {"field": "memory"}}
    return [
        layer(rows, "rect", band, color=LIMIT, opacity=0.12),
        layer(rows, "rule", {"y": axes.y}, color=LIMIT, strokeWidth=2),
    ]


def _capacity_label(analysis: Analysis) -> dict[str, str]:
    """Return what the legend says of the capacity; nothing where it is unknown."""
    capacity = analysis.capacity_bytes
    return {} if capacity is None else {f"Capacity: {gib(capacity)}": LIMIT}


def _mark_layers(
    analysis: Analysis,
    axes: _Axes,
    value: Callable[[Mark], float | None],
    also: Mapping[str, str] = MappingProxyType({}),
) -> list[Spec]:
    """Draw a rule at each mark; the legend names them, and what else it is given."""
    rows = [
        {
            "batch": mark.batch_size,
            "label": mark_label(names, mark.batch_size),
            "colour": MARK_COLOURS[names[-1]],
            axes.field: value(mark),
            "between": mark.interpolated,
        }
        for names, mark in grouped_marks(analysis)
    ]
    colours = {row["label"]: row["colour"] for row in rows} | dict(also)
    if not colours:
        return []
    rule = {"x": axes.x, "color": by_label("label", colours, symbolType="stroke")}
    between = [row for row in rows if row["between"]]
    diamond = {"shape": "diamond", "size": 110, "strokeWidth": 2, "color": GROUND}
    return [
        layer(rows, "rule", rule, strokeDash=[4, 4], strokeWidth=2),
        layer(between, "point", axes.both, filled=False, **diamond),
    ]


def _memory_words(analysis: Analysis) -> str:
    marks = ", ".join(
        f"{mark_label(names, mark.batch_size)} at {gib(mark.memory_bytes)}"
        for names, mark in grouped_marks(analysis)
    )
    trial = analysis.optimal.trial
    ranged = trial is not None and has_range(trial)
    band = f" At the recommended one {trial.reserved_range}." if ranged else ""
    return (
        f"Peak memory by batch size: {analysis.workload} on {analysis.target.name}, "
        f"{analysis.target.source}; capacity {gib(analysis.capacity_bytes)}; "
        f"{marks or 'no marks'}.{band}"
    )


def _throughput_words(analysis: Analysis) -> str:
    band, before = (likely_rate(each.speed_band) for each in (analysis.optimal, analysis.current))
    return (
        f"Throughput by batch size: {analysis.workload} on {analysis.target.name}, "
        f"{analysis.target.source}; {rate(analysis.current.samples_per_second)} samples/s{before} "
        f"at the current batch size, {rate(analysis.optimal.samples_per_second)}{band} at the "
        "recommended one."
    )
