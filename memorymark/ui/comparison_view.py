"""The costs of a training run: at the current and the optimal batch size, and on every GPU."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import streamlit as st

from memorymark.errors import UsageError
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison
from memorymark.records.costs import Offer, PricedOffer, RunCost, compare_offers
from memorymark.records.option import options_of
from memorymark.report.charts.cost_charts import cost_against_time
from memorymark.service.history import Run
from memorymark.ui import say
from memorymark.ui.charting import draw_kept
from memorymark.ui.choices import choices
from memorymark.ui.option_widgets import bounds
from memorymark.ui.pieces import draw_exports
from memorymark.units import UNKNOWN, count, gib, hours, rate, usd

_PRICES = "edited_prices"
PRICE = "$/hour (edit)"


def draw_savings(analysis: Analysis) -> None:
    """Draw the costs at the current and at the optimal batch size."""
    costs = analysis.costs
    st.subheader("Current and recommended batch", anchor=False)
    say.caption(
        "{} on {}, throughput {}, at {} per hour, run {}.",
        analysis.workload,
        analysis.target.name,
        analysis.target.source,
        usd(analysis.options.price_per_hour),
        analysis.run_id,
    )
    if costs.optimal.samples_per_second is None:
        st.info("This analysis has no throughput, so costs cannot be compared.")
        return
    left, right, saved = st.columns(3)
    _cost_card(left, f"Current batch {count(analysis.current.batch_size)}", costs.current)
    _cost_card(right, f"Recommended batch {count(analysis.optimal.batch_size)}", costs.optimal)
    with saved.container(border=True):
        st.markdown("**Savings**")
        say.metric("Time per run", hours(costs.hours_per_run))
        say.metric("Cost per run", usd(costs.usd_per_run))
        say.metric("Cost per year", usd(costs.usd_per_year))


def draw_comparison(run: Run) -> None:
    """Draw the same training run on every GPU of the catalogue."""
    record = Comparison.from_dict(run.record or {}).to_dict()
    rows = {row["gpu"]: row for row in record["gpus"]}
    say.heading("{} on every GPU where it fits", record["model_name"])
    offers = _priced(rows)
    names = {key: row["name"] for key, row in rows.items()}
    holding = [offer for offer in offers if rows[offer.offer.name]["max_batch_size"] is not None]
    _draw_cheapest(holding, rows)
    draw_kept(cost_against_time, holding, names, key="costs", name=tuple(holding))
    say.caption("{}", _sources(rows))
    _draw_table(holding, rows)
    for finding in record["findings"]:
        say.info("{}", finding)
    draw_exports(run)


def _priced(rows: dict[str, dict[str, Any]]) -> tuple[PricedOffer, ...]:
    """Price the rows by the plan of the sidebar and the prices that were edited."""
    edited = st.session_state.get(_PRICES, {})
    return compare_offers(
        choices().plan,
        [
            Offer(
                key,
                edited.get(key, row["usd_per_hour"]),
                row["samples_per_second"],
                row["optimal_batch_size"],
            )
            for key, row in rows.items()
        ],
    )


def _draw_cheapest(offers: list[PricedOffer], rows: dict[str, dict[str, Any]]) -> None:
    known = [offer for offer in offers if offer.cost.usd_per_million_samples is not None]
    if not known:
        st.info("No GPU has both a price and a throughput. Enter prices in the table below.")
        return
    best = known[0]
    row = rows[best.offer.name]
    say.line(
        "Cheapest: **{}** at batch size {}, **{} per million samples**, {} and {} per run; "
        "throughput {}.",
        row["name"],
        count(row["optimal_batch_size"]),
        usd(best.cost.usd_per_million_samples),
        usd(best.cost.usd_per_run),
        hours(best.cost.hours_per_run),
        row["source"],
    )


def _draw_table(offers: list[PricedOffer], rows: dict[str, dict[str, Any]]) -> None:
    """Draw the table; a price that is edited in it holds for the session."""
    order = [offer.offer.name for offer in offers]
    version = st.session_state.setdefault("price_editor", 0)
    key = f"prices_{version}"
    smallest, largest = bounds(options_of(AnalysisOptions)["price_per_hour"])
    st.data_editor(
        [_cells(offer, rows[offer.offer.name]) for offer in offers],
        key=key,
        hide_index=True,
        disabled=[name for name in _COLUMNS if name != PRICE],
        column_config={
            PRICE: st.column_config.NumberColumn(
                min_value=smallest, max_value=largest, format="$%.2f"
            )
        },
        on_change=take_prices,
        args=(key, order),
    )
    edited = st.session_state.get(_PRICES)
    if edited and st.button("Reset to catalogue prices", icon=":material/undo:"):
        st.session_state[_PRICES] = {}
        st.rerun()


_COLUMNS = (
    "GPU", "Max batch", "Optimal batch", "Samples/s", "Source", PRICE, "$/million samples", "$/run",
    "Time per run", "$/year", "Pareto-optimal", "Memory", "Price source", "Price date",
)  # fmt: skip


def _cells(priced: PricedOffer, row: dict[str, Any]) -> dict[str, Any]:
    cost = priced.cost
    edited = row["gpu"] in st.session_state.get(_PRICES, {})
    values = (
        row["name"], count(row["max_batch_size"]), count(row["optimal_batch_size"]),
        rate(row["samples_per_second"]), row["source"], priced.offer.usd_per_hour,
        usd(cost.usd_per_million_samples), usd(cost.usd_per_run), hours(cost.hours_per_run),
        usd(cost.usd_per_year), "yes" if priced.efficient else "",
        f"{gib(row['memory_bytes'])} of {gib(row['capacity_bytes'])}",
        "edited" if edited else row["price_source"] or UNKNOWN,
        "" if edited else row["price_observed_at"] or UNKNOWN,
    )  # fmt: skip
    return dict(zip(_COLUMNS, values, strict=True))


def take_prices(key: str, order: list[str]) -> None:
    """Keep edited prices by GPU: the table is sorted anew, so row numbers mean nothing later."""
    prices = dict(st.session_state.get(_PRICES, {}))
    price = options_of(AnalysisOptions)["price_per_hour"]
    for number, changes in st.session_state[key]["edited_rows"].items():
        if PRICE in changes and int(number) < len(order):
            with suppress(UsageError):  # the table's limits hold in the browser only
                prices[order[int(number)]] = price.check(changes[PRICE])
    st.session_state[_PRICES] = prices
    st.session_state["price_editor"] += 1


def _sources(rows: dict[str, dict[str, Any]]) -> str:
    measured = [row["name"] for row in rows.values() if row["source"] == "measured"]
    said = f"Throughput measured on {', '.join(measured)}. " if measured else ""
    return (
        f"{said}Simulated throughput is an estimate from the GPU's peak rates. Its error is not "
        "known yet, so GPUs with similar figures may rank differently in practice. "
        "Pareto-optimal: no other GPU is both cheaper and faster."
    )


def _cost_card(column: Any, title: str, cost: RunCost) -> None:
    with column.container(border=True):
        say.line("**{}**", title)
        say.metric("Time per run", hours(cost.hours_per_run))
        say.metric("Cost per run", usd(cost.usd_per_run))
        say.metric("Cost per year", usd(cost.usd_per_year))
        say.metric("Cost per million samples", usd(cost.usd_per_million_samples))
        say.caption("{} samples/s", rate(cost.samples_per_second))
