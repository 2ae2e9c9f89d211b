"""Cost vs. time of the same training run on several GPUs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from memorymark.records.costs import MILLION, PricedOffer, cost_band, hours_for
from memorymark.report.charts.label_places import label_places
from memorymark.report.charts.palette import GROUND, MARK_COLOURS, TEXT
from memorymark.report.charts.vega import NUMBER, Spec, by_label, chart, layer, number, words
from memorymark.units import hours as hours_text
from memorymark.units import likely_hours, likely_rate, likely_usd, rate, usd

# A plot is at least as wide as the greatest of these that is not above its width: names are
# placed for each, since those that have room on a wide page collide on a narrow one.
WIDTHS = (230, 420, 640, 860)
HEIGHT = 420
PLOT_HEIGHT = 300  # what axes and legend leave of it, or more
_COLOURS = {
    "No other is both cheaper and faster": MARK_COLOURS["optimal"],
    "Slower or dearer than another": GROUND,
}
_BEST, _BEATEN = _COLOURS
_MARGIN = 0.12
Band = tuple[float, float]
_NO_BANDS: Mapping[str, Band] = MappingProxyType({})
HOURS_ENDS, USD_ENDS = ("hours_low", "hours_high"), ("usd_low", "usd_high")


def cost_against_time(
    offers: Sequence[PricedOffer],
    names: Mapping[str, str],
    bands: Mapping[str, Band] = _NO_BANDS,
) -> Spec:
    """Draw dollars over hours, a point for each GPU, the Pareto-optimal ones marked and joined.

    Names are written where they cover nothing, the Pareto-optimal ones first; the tooltips and
    the table below the chart have them all.

    Args:
        offers: The priced offers; those without a cost or a throughput are left out.
        names: What people call each offer's GPU.
        bands: The least and the most samples a second that are likely on each offer's GPU.
    """
    per_run = any(offer.cost.usd_per_run is not None for offer in offers)
    rows = cost_rows(offers, names, per_run, bands)
    what = "per run" if per_run else "per million samples"
    x = log_axis("hours", f"Hours {what}", reach(rows, "hours", HOURS_ENDS))
    y = log_axis("usd", f"US dollars {what}", reach(rows, "usd", USD_ENDS))
    both = {"x": x, "y": y}
    tooltip = [
        words("name", title="GPU"),
        words("time_text", title=f"Time {what}"),
        words("usd_text", title=f"Cost {what}"),
        words("price_text", title="Price"),
        words("rate_text", title="Throughput"),
        words("kind", title="Trade-off"),
    ]
    best = sorted((row for row in rows if row["kind"] == _BEST), key=lambda row: row["hours"])
    colour = by_label("kind", _COLOURS, symbolType="circle")
    layers = [
        *band_layers(rows, both, colour, {"x": HOURS_ENDS, "y": USD_ENDS}),
        layer(best, "line", both, color=MARK_COLOURS["optimal"], strokeDash=[4, 4]),
        layer(
            rows, "point", {**both, "color": colour, "tooltip": tooltip},
            filled=True, size=90, opacity=1,
        ),
        *name_layers(rows, both, pixels),
    ]  # fmt: skip
    said = ", ".join(row["name"] for row in best) or "none"
    return chart(layers, f"Cost vs. time {what} by GPU. {_BEST}: {said}.", HEIGHT)


def cost_rows(
    offers: Sequence[PricedOffer],
    names: Mapping[str, str],
    per_run: bool,
    bands: Mapping[str, Band] = _NO_BANDS,
) -> list[dict[str, Any]]:
    """Return the points, the Pareto-optimal ones first."""
    rows = [row for offer in offers if (row := _row(offer, names, per_run, bands))]
    return sorted(rows, key=lambda row: row["kind"] != _BEST)


def pixels(rows: Sequence[Mapping[str, Any]], width: float) -> list[tuple[float, float]]:
    """Return where the points lie in a plot of a width."""
    across = placed([row["hours"] for row in rows], reach(rows, "hours", HOURS_ENDS))
    up = placed([row["usd"] for row in rows], reach(rows, "usd", USD_ENDS))
    return [(x * width, (1 - y) * PLOT_HEIGHT) for x, y in zip(across, up, strict=True)]


def placed(values: Sequence[float], shown: Sequence[float]) -> list[float]:
    """Return where values lie on a logarithmic axis, from 0 to 1.

    Args:
        values: The values.
        shown: All that the axis shows.
    """
    low, high = (math.log(end) for end in _domain(shown))
    return [(math.log(value) - low) / (high - low) for value in values]


def reach(rows: Sequence[Mapping[str, Any]], field: str, ends: tuple[str, str]) -> list[float]:
    """Return all that an axis shows of a field: its values, and the ends of their bands."""
    return [row[name] for row in rows for name in (field, *ends) if name in row]


def _domain(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a logarithmic axis with a margin on both sides."""
    if not values:
        return 1.0, 10.0
    low, high = min(values), max(values)
    span = max(math.log(high / low), math.log(1.5))
    return low * math.exp(-span * _MARGIN), high * math.exp(span * _MARGIN)


def log_axis(field: str, title: str, values: Sequence[float]) -> Spec:
    """Encode a number on a logarithmic axis with a margin on both sides."""
    return number(
        field,
        title=title,
        scale={"type": "log", "domain": list(_domain(values)), "nice": False},
        axis={"format": NUMBER, "tickCount": 6, "labelOverlap": "greedy", "labelSeparation": 6},
    )


def band_layers(
    rows: Sequence[Mapping[str, Any]], both: Spec, colour: Spec, ends: Mapping[str, tuple[str, str]]
) -> list[Spec]:
    """Draw where estimates are likely to lie; nothing where none is an estimate.

    Args:
        rows: The points.
        both: The encoding of their places.
        colour: The encoding of their colour.
        ends: The fields of the two ends of a band, by the axis along which it lies.
    """
    fields = [field for pair in ends.values() for field in pair]
    banded = [row for row in rows if all(field in row for field in fields)]
    if not banded:
        return []
    encoding = {**both, "color": colour}
    for along, (low, high) in ends.items():
        encoding |= {along: {**both[along], "field": low}, f"{along}2": {"field": high}}
    return [layer(banded, "rule", encoding, strokeWidth=3, strokeCap="round", opacity=0.3)]


def name_layers(
    rows: Sequence[dict[str, Any]],
    both: Spec,
    pixels_at: Callable[[Sequence[Mapping[str, Any]], float], list[tuple[float, float]]],
) -> list[Spec]:
    """Write the names of points, for each width those that have room there.

    Args:
        rows: The points with their names, the most important first; the line of those of the kind
            that comes first is not written over.
        both: The encoding of their places.
        pixels_at: Returns where they lie in a plot of a width.
    """
    first = rows[0]["kind"] if rows else None
    layers = []
    said, ends = [row["name"] for row in rows], [*WIDTHS[1:], None]
    for least, end in zip(WIDTHS, ends, strict=True):
        points = pixels_at(rows, least)
        line = sorted(
            point for point, row in zip(points, rows, strict=True) if row["kind"] == first
        )
        places = label_places(said, points, least, PLOT_HEIGHT, line)
        is_drawn = f"width >= {least if least > WIDTHS[0] else 0}"
        is_drawn += f" && width < {end}" if end else ""
        for align in ("left", "right", "center"):
            placed = [
                {**row, "dx": place.dx, "dy": place.dy}
                for row, place in zip(rows, places, strict=True)
                if place is not None and place.align == align
            ]
            if placed:
                style = {
                    "align": align,
                    "baseline": "middle",
                    "fontSize": 12,
                    "color": TEXT,
                    "dx": {"expr": "datum.dx"},
                    "dy": {"expr": "datum.dy"},
                    "opacity": {"expr": f"{is_drawn} ? 1 : 0"},
                }
                layers.append(layer(placed, "text", {**both, "text": words("name")}, **style))
    return layers


def _ends(hours: Band | None, usd_band: Band | None) -> dict[str, float]:
    """Return where the two ends of a band lie: what takes longer costs more by the same factor."""
    if hours is None or usd_band is None:
        return {}
    return dict(zip((*HOURS_ENDS, *USD_ENDS), (*hours, *usd_band), strict=True))


def _row(
    priced: PricedOffer, names: Mapping[str, str], per_run: bool, bands: Mapping[str, Band]
) -> dict[str, Any] | None:
    cost = priced.cost
    usd_amount = cost.usd_per_run if per_run else cost.usd_per_million_samples
    if not usd_amount or not cost.samples_per_second:
        return None
    hours = cost.hours_per_run if per_run else hours_for(MILLION, cost.samples_per_second)
    if not hours:
        return None
    band = bands.get(priced.offer.name)

    def likely(figure: float) -> Band | None:
        return cost_band(figure, cost.samples_per_second, band)

    return {
        "name": names[priced.offer.name].removeprefix("NVIDIA "),
        "hours": hours,
        "usd": usd_amount,
        "time_text": f"{hours_text(hours)}{likely_hours(likely(hours))}",
        "usd_text": f"{usd(usd_amount)}{likely_usd(likely(usd_amount))}",
        "price_text": f"{usd(priced.offer.usd_per_hour)} per hour",
        "rate_text": f"{rate(cost.samples_per_second)} samples/s{likely_rate(band)}",
        **_ends(likely(hours), likely(usd_amount)),
        "kind": _BEST if priced.efficient else _BEATEN,
    }
