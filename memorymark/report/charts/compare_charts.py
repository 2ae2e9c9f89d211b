"""Several analyses laid over one another: memory and throughput by batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memorymark.records.analysis import Analysis
from memorymark.records.trial import Trial
from memorymark.report.charts.batch_charts import latest_by_batch
from memorymark.report.charts.palette import HEIGHT, RUN_COLOURS, RUN_SHAPES, in_gib
from memorymark.report.charts.vega import (
    NUMBER,
    Spec,
    across,
    axis,
    by_label,
    chart,
    key,
    layer,
    number,
)
from memorymark.report.charts.vega import words as named
from memorymark.units import gib, likely_rate, rate

MOST_RUNS = len(RUN_COLOURS)
_LEGEND_LINE = 18
_TOOLTIP = [
    named("run", title="Run"),
    number("batch", title="Batch size", format=NUMBER),
    named("memory_text", title="Memory"),
    named("rate_text", title="Throughput"),
    named("mark", title="Batch"),
    named("source", title="Source"),
]


def memory_of_runs(analyses: Mapping[str, Analysis]) -> Spec:
    """Draw the memory of each run's batches that fit, its capacity as a dashed line.

    Args:
        analyses: The analyses by their names, at most MOST_RUNS.
    """
    rows = _rows(analyses, lambda trial: in_gib(trial.memory_bytes))
    limits = [
        {"run": name, "value": in_gib(analysis.capacity_bytes)}
        for name, analysis in analyses.items()
        if analysis.capacity_bytes is not None
    ]
    said = "; ".join(
        f"{name}: largest batch that fits {analysis.max_batch_size or 'none'}, capacity "
        f"{gib(analysis.capacity_bytes)}"
        for name, analysis in analyses.items()
    )
    return _overlay(analyses, rows, limits, "Peak memory (GiB)", f"Peak memory by batch. {said}.")


def throughput_of_runs(analyses: Mapping[str, Analysis]) -> Spec:
    """Draw the samples per second of each run's batches."""
    rows = _rows(analyses, lambda trial: trial.samples_per_second)
    said = "; ".join(
        f"{name}: {rate(analysis.optimal.samples_per_second)} samples/s"
        f"{likely_rate(analysis.optimal.speed_band)} at the recommended batch"
        for name, analysis in analyses.items()
    )
    return _overlay(analyses, rows, [], "Throughput (samples/s)", f"Throughput by batch. {said}.")


def _rows(analyses: Mapping[str, Analysis], value: Any) -> list[dict[str, Any]]:
    return [
        {**_row(name, trial, analysis), "value": height}
        for name, analysis in analyses.items()
        for trial in latest_by_batch(analysis.trials)
        if trial.fits and (height := value(trial)) is not None
    ]


def _row(name: str, trial: Trial, analysis: Analysis) -> dict[str, Any]:
    is_recommended = trial.batch_size == analysis.optimal.batch_size
    return {
        "run": name,
        "batch": trial.batch_size,
        "memory_text": gib(trial.memory_bytes),
        "rate_text": f"{rate(trial.samples_per_second)} samples/s{likely_rate(trial.speed_band)}",
        "mark": "recommended" if is_recommended else "tried",
        "source": str(trial.source),
    }


def _overlay(
    analyses: Mapping[str, Analysis],
    rows: Sequence[dict[str, Any]],
    limits: Sequence[dict[str, Any]],
    title: str,
    described: str,
) -> Spec:
    names = list(analyses)
    colours = dict(zip(names, RUN_COLOURS, strict=False))
    heights = [row["value"] for row in (*rows, *limits)]
    x = across("batch", "Batch size", max((row["batch"] for row in rows), default=1) * 1.04, 8)
    y = axis("value", title, (max(heights, default=1.0) or 1.0) * 1.08, 6)
    colour = by_label("run", colours, symbolType=None)
    colour["legend"] = key(names, wide_columns=2)
    shapes = {"domain": names, "range": list(RUN_SHAPES[: len(names)])}
    shape = named("run", title=None, scale=shapes, legend=colour["legend"])
    both = {"x": x, "y": y}
    point = {**both, "color": colour, "shape": shape, "tooltip": _TOOLTIP}
    best = [row for row in rows if row["mark"] == "recommended"]
    layers = [
        layer(limits, "rule", {"y": y, "color": colour}, strokeDash=[6, 4], strokeWidth=1.5),
        layer(rows, "line", {**both, "color": colour}, strokeWidth=2),
        layer(rows, "point", point, filled=True, size=55, opacity=1),
        layer(best, "point", {**point, "color": colour}, filled=False, size=220, strokeWidth=2),
    ]
    return chart(layers, described, HEIGHT + _LEGEND_LINE * len(names))
