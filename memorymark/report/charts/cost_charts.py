"""Cost vs. time of the same training run on several GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from memorymark.records.costs import MILLION, PricedOffer, cost_band, hours_for
from memorymark.report.charts.palette import GROUND, MARK_COLOURS
from memorymark.report.charts.pareto import Axes, pareto_chart
from memorymark.report.charts.vega import Spec
from memorymark.units import hours as hours_text
from memorymark.units import likely_hours, likely_rate, likely_usd, rate, usd

Band = tuple[float, float]

_COLOURS = {
    "No other is both cheaper and faster": MARK_COLOURS["optimal"],
    "Slower or dearer than another": GROUND,
}
_BEST, _BEATEN = _COLOURS
_NO_BANDS: Mapping[str, Band] = MappingProxyType({})
_HOURS_ENDS, _USD_ENDS = ("hours_low", "hours_high"), ("usd_low", "usd_high")


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
    titles = f"Hours {what}", f"US dollars {what}"
    axes = Axes("hours", "usd", *titles, _HOURS_ENDS, _USD_ENDS)
    tooltip = {
        "name": "GPU",
        "time_text": f"Time {what}",
        "usd_text": f"Cost {what}",
        "price_text": "Price",
        "rate_text": "Throughput",
        "kind": "Trade-off",
    }
    said = ", ".join(row["name"] for row in axes.efficient(rows)) or "none"
    described = f"Cost vs. time {what} by GPU. {_BEST}: {said}."
    return pareto_chart(rows, axes, colours=_COLOURS, tooltip=tooltip, described=described)


def cost_rows(
    offers: Sequence[PricedOffer],
    names: Mapping[str, str],
    per_run: bool,
    bands: Mapping[str, Band] = _NO_BANDS,
) -> list[dict[str, Any]]:
    """Return the points, the Pareto-optimal ones first."""
    rows = [row for offer in offers if (row := _row(offer, names, per_run, bands))]
    return sorted(rows, key=lambda row: row["kind"] != _BEST)


def _ends(hours: Band | None, usd_band: Band | None) -> dict[str, float]:
    """Return where the two ends of a band lie: what takes longer costs more by the same factor."""
    if hours is None or usd_band is None:
        return {}
    return dict(zip((*_HOURS_ENDS, *_USD_ENDS), (*hours, *usd_band), strict=True))


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
        "efficient": priced.efficient,
        "kind": _BEST if priced.efficient else _BEATEN,
    }
