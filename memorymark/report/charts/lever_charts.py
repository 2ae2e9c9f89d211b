"""Memory against throughput of a training as it is and with each lever."""

from __future__ import annotations

from typing import Any

from memorymark.records.lever import Lever, LeverReport
from memorymark.report.charts.palette import GROUND, LIMIT, MARK_COLOURS, exact, in_gib
from memorymark.report.charts.pareto import Axes, pareto_chart
from memorymark.report.charts.vega import Spec
from memorymark.units import count, likely_rate, likely_usd, rate, usd

_RATE_ENDS = ("rate_low", "rate_high")
_AXES = Axes("memory", "rate", "Memory (GiB)", "Throughput (samples/s)", y_ends=_RATE_ENDS)
_TOOLTIP = {
    "title": "Lever",
    "bytes_text": "Memory",
    "rate_text": "Throughput",
    "usd_text": "Per million samples",
    "largest": "Largest batch",
    "kind": "Trade-off",
}
_BEST = "None takes less memory and is faster"
_BEATEN = "More memory, or slower"
_BEFORE = "As it is"
_COLOURS = {_BEST: MARK_COLOURS["optimal"], _BEATEN: GROUND, _BEFORE: LIMIT}
_ORDER = {_BEST: 0, _BEFORE: 1, _BEATEN: 2}


def memory_against_throughput(report: LeverReport) -> Spec:
    """Draw samples per second over memory, a point for each lever with which the batch fits.

    Points carry the numbers of the table; the Pareto-optimal ones are marked and joined.
    """
    rows = lever_rows(report)
    said = "; ".join(row["title"] for row in _AXES.efficient(rows)) or "none"
    described = f"Memory against throughput at batch {count(report.batch_size)}. {_BEST}: {said}."
    return pareto_chart(rows, _AXES, colours=_COLOURS, tooltip=_TOOLTIP, described=described)


def lever_rows(report: LeverReport) -> list[dict[str, Any]]:
    """Return the points, the Pareto-optimal ones first."""
    every = enumerate((report.before, *report.levers))
    rows = [row for number, lever in every if (row := _row(number, lever))]
    return sorted(rows, key=lambda row: _ORDER[row["kind"]])


def _row(number: int, lever: Lever) -> dict[str, Any] | None:
    if not lever.fits or not lever.memory_bytes or not lever.samples_per_second:
        return None
    kind = _BEST if lever.efficient else _BEATEN
    return {
        "name": str(number) if number else _BEFORE,
        "title": lever.name,
        "memory": in_gib(lever.memory_bytes),
        "rate": lever.samples_per_second,
        "bytes_text": exact(lever.memory_bytes),
        "rate_text": f"{rate(lever.samples_per_second)} samples/s{likely_rate(lever.speed_band)}",
        "usd_text": f"{usd(lever.cost_per_million_samples)}{likely_usd(lever.cost_band)}",
        **dict(zip(_RATE_ENDS, lever.speed_band or (), strict=False)),
        "largest": count(lever.max_batch_size),
        "efficient": lever.efficient,
        "kind": kind if number else _BEFORE,
    }
