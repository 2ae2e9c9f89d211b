"""Memory against throughput of a training as it is and with each lever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memorymark.records.lever import Lever, LeverReport
from memorymark.report.charts.cost_charts import (
    HEIGHT,
    PLOT_HEIGHT,
    band_layers,
    log_axis,
    name_layers,
    placed,
    reach,
)
from memorymark.report.charts.palette import GROUND, LIMIT, MARK_COLOURS, exact, in_gib
from memorymark.report.charts.vega import Spec, by_label, chart, layer, words
from memorymark.units import count, likely_rate, likely_usd, rate, usd

_BEST = "None takes less memory and is faster"
_BEATEN = "More memory, or slower"
_BEFORE = "As it is"
_COLOURS = {_BEST: MARK_COLOURS["optimal"], _BEATEN: GROUND, _BEFORE: LIMIT}
_RATE_ENDS = ("rate_low", "rate_high")
_ORDER = {_BEST: 0, _BEFORE: 1, _BEATEN: 2}


def memory_against_throughput(report: LeverReport) -> Spec:
    """Draw samples per second over memory, a point for each lever with which the batch fits.

    Points carry the numbers of the table; the Pareto-optimal ones are marked and joined.
    """
    rows = lever_rows(report)
    x = log_axis("memory", "Memory (GiB)", [row["memory"] for row in rows])
    y = log_axis("rate", "Throughput (samples/s)", reach(rows, "rate", _RATE_ENDS))
    both = {"x": x, "y": y}
    tooltip = [
        words("title", title="Lever"),
        words("bytes_text", title="Memory"),
        words("rate_text", title="Throughput"),
        words("usd_text", title="Per million samples"),
        words("largest", title="Largest batch"),
        words("kind", title="Trade-off"),
    ]
    best = sorted((row for row in rows if row["efficient"]), key=lambda row: row["memory"])
    colour = by_label("kind", _COLOURS, symbolType="circle")
    layers = [
        *band_layers(rows, both, colour, {"y": _RATE_ENDS}),
        layer(best, "line", both, color=MARK_COLOURS["optimal"], strokeDash=[4, 4]),
        layer(
            rows, "point", {**both, "color": colour, "tooltip": tooltip},
            filled=True, size=90, opacity=1,
        ),
        *name_layers(rows, both, pixels),
    ]  # fmt: skip
    said = "; ".join(row["title"] for row in best) or "none"
    described = f"Memory against throughput at batch {count(report.batch_size)}. {_BEST}: {said}."
    return chart(layers, described, HEIGHT)


def lever_rows(report: LeverReport) -> list[dict[str, Any]]:
    """Return the points, the Pareto-optimal ones first."""
    every = enumerate((report.before, *report.levers))
    rows = [row for number, lever in every if (row := _row(number, lever))]
    return sorted(rows, key=lambda row: _ORDER[row["kind"]])


def pixels(rows: Sequence[Mapping[str, Any]], width: float) -> list[tuple[float, float]]:
    """Return where the points lie in a plot of a width."""
    memory = [row["memory"] for row in rows]
    across = placed(memory, memory)
    up = placed([row["rate"] for row in rows], reach(rows, "rate", _RATE_ENDS))
    return [(x * width, (1 - y) * PLOT_HEIGHT) for x, y in zip(across, up, strict=True)]


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
