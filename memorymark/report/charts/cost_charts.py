"""Cost against time of the same training on several GPUs."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from memorymark.records.costs import MILLION, PricedOffer, hours_for
from memorymark.report.charts.altair_layers import data, finish
from memorymark.report.charts.palette import GROUND, MARK_COLOURS
from memorymark.units import hours as hours_text
from memorymark.units import usd


def cost_against_time(offers: Sequence[PricedOffer], names: dict[str, str]) -> alt.LayerChart:
    """Draw dollars over hours, a point for each GPU, the efficient ones marked and joined.

    Args:
        offers: The priced offers; those without a cost or a throughput are left out.
        names: What people call each offer's GPU.
    """
    per_run = any(offer.cost.usd_per_run is not None for offer in offers)
    rows = [row for offer in offers if (row := _row(offer, names, per_run))]
    what = "a run" if per_run else "a million samples"
    x = alt.X("hours:Q", title=f"Hours for {what}", scale=alt.Scale(zero=False, padding=30))
    y = alt.Y("usd:Q", title=f"Dollars for {what}", scale=alt.Scale(zero=False, padding=20))
    tooltip = [
        alt.Tooltip("name:N", title="GPU"),
        alt.Tooltip("time_text:N", title=f"Time for {what}"),
        alt.Tooltip("usd_text:N", title=f"Cost of {what}"),
        alt.Tooltip("kind:N", title="Efficient"),
    ]
    best = [row for row in rows if row["kind"] == "efficient"]
    scale = alt.Scale(
        domain=["efficient", "another GPU beats it"],
        range=[MARK_COLOURS["optimal"], GROUND],
    )
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
    return finish(layers, f"Cost against time of {what} by GPU. Efficient: {said}.", 420)


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
        "kind": "efficient" if priced.efficient else "another GPU beats it",
    }
