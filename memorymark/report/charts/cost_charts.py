"""Cost vs. time of the same training run on several GPUs."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from memorymark.records.costs import MILLION, PricedOffer, hours_for
from memorymark.report.charts.altair_layers import data, finish
from memorymark.report.charts.palette import GROUND, MARK_COLOURS
from memorymark.units import hours as hours_text
from memorymark.units import usd

_BEST, _DOMINATED = "Pareto-optimal", "dominated"


def cost_against_time(offers: Sequence[PricedOffer], names: dict[str, str]) -> alt.LayerChart:
    """Draw dollars over hours, a point for each GPU, the Pareto-optimal ones marked and joined.

    Args:
        offers: The priced offers; those without a cost or a throughput are left out.
        names: What people call each offer's GPU.
    """
    per_run = any(offer.cost.usd_per_run is not None for offer in offers)
    rows = [row for offer in offers if (row := _row(offer, names, per_run))]
    what = "per run" if per_run else "per million samples"
    x = alt.X("hours:Q", title=f"Hours {what}", scale=alt.Scale(zero=False, padding=30))
    y = alt.Y("usd:Q", title=f"Dollars {what}", scale=alt.Scale(zero=False, padding=20))
    tooltip = [
        alt.Tooltip("name:N", title="GPU"),
        alt.Tooltip("time_text:N", title=f"Time {what}"),
        alt.Tooltip("usd_text:N", title=f"Cost {what}"),
        alt.Tooltip("kind:N", title="Trade-off"),
    ]
    best = [row for row in rows if row["kind"] == _BEST]
    scale = alt.Scale(domain=[_BEST, _DOMINATED], range=[MARK_COLOURS["optimal"], GROUND])
    colour = alt.Color("kind:N", title=None, scale=scale, legend=alt.Legend(orient="bottom"))
    line = alt.Chart(data(sorted(best, key=lambda row: row["hours"])))
    points = alt.Chart(data(rows))
    layers = [
        line.mark_line(color=MARK_COLOURS["optimal"], strokeDash=[4, 4]).encode(x=x, y=y),
        points.mark_point(filled=True, size=110, opacity=1).encode(
            x=x, y=y, color=colour, tooltip=tooltip
        ),
        points.mark_text(align="left", dx=9, dy=-7, fontSize=12).encode(
            x=x, y=y, text="name:N", color=colour
        ),
    ]
    said = ", ".join(row["name"] for row in best) or "none"
    return finish(layers, f"Cost vs. time {what} by GPU. Pareto-optimal: {said}.", 420)


def _row(priced: PricedOffer, names: dict[str, str], per_run: bool) -> dict | None:
    cost = priced.cost
    usd_amount = cost.usd_per_run if per_run else cost.usd_per_million_samples
    if usd_amount is None or not cost.samples_per_second:
        return None
    hours = cost.hours_per_run if per_run else hours_for(MILLION, cost.samples_per_second)
    if hours is None:
        return None
    return {
        "name": names[priced.offer.name].removeprefix("NVIDIA "),
        "hours": hours,
        "usd": usd_amount,
        "time_text": hours_text(hours),
        "usd_text": usd(usd_amount),
        "kind": _BEST if priced.efficient else _DOMINATED,
    }
