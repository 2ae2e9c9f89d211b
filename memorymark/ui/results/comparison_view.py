"""The costs of a training run: at the current and the recommended batch, and on every GPU."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import streamlit as st

from memorymark.errors import UsageError
from memorymark.gpus.catalogue import load_catalogue
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison
from memorymark.records.costs import PricedOffer, RunCost, cost_band
from memorymark.records.inputs import PLAN
from memorymark.records.mark import Mark
from memorymark.records.option import options_of
from memorymark.records.request import Request
from memorymark.report.charts.cost_charts import cost_against_time
from memorymark.report.comparison_lines import (
    cheapest,
    cheapest_sentence,
    comparison_lines,
    kinds_sentence,
    overlap_sentences,
)
from memorymark.report.exports import comparison_csv
from memorymark.report.price_words import price_owner, price_words
from memorymark.report.settings_phrase import analysis_phrase, comparison_phrase
from memorymark.service.history import Run
from memorymark.ui import columns, say
from memorymark.ui.charting import draw_spec
from memorymark.ui.columns import Column, Value, cells_of, column_config
from memorymark.ui.kept_runs import request_of
from memorymark.ui.option_widgets import bounds
from memorymark.ui.pieces import File, draw_exports
from memorymark.ui.results.price_choice import PriceChoice, draw_price_choice
from memorymark.ui.setup.choices import choices, edit_prices, edited_prices, link_inputs
from memorymark.units import UNKNOWN, count, hours, likely_hours, likely_rate, likely_usd, rate, usd

BEST_TRADE_OFF = "no other GPU is both cheaper and faster."
PRICE = "$/hour (edit)"
_BANDS = {hours: likely_hours, usd: likely_usd}
Pair = tuple[PricedOffer, dict[str, Any]]


def draw_savings(analysis: Analysis, asked: Request | None) -> None:
    """Draw the costs at the current and at the recommended batch.

    Args:
        analysis: The analysis.
        asked: What it was asked for, where that is known.
    """
    costs = analysis.costs
    st.subheader("Current and recommended batch", anchor=False)
    say.line("{}", analysis_phrase(analysis, asked))
    say.caption("Run {}; throughput {}.", analysis.run_id, analysis.target.source)
    if costs.optimal.samples_per_second is None:
        st.info("This analysis has no throughput, so costs cannot be compared.")
        return
    left, right, saved = st.columns(3)
    _cost_card(left, "Current", analysis.current, costs.current)
    _cost_card(right, "Recommended", analysis.optimal, costs.optimal)
    with saved.container(border=True):
        st.markdown("**Savings**")
        _metric("Time per run", costs.hours_per_run, hours, analysis.likely_saving)
        _metric("Cost per run", costs.usd_per_run, usd, analysis.likely_saving)
        _metric("Cost per year", costs.usd_per_year, usd, analysis.likely_saving)


def draw_comparison(run: Run) -> None:
    """Draw the same training run on every GPU that it was compared on."""
    compared = Comparison.from_dict(run.record or {})
    choice = draw_price_choice()
    quotes = choice.quotes(compared.gpus)
    shown = compared.priced(choices().plan, edited_prices(), quotes)
    request = request_of(run)
    record = shown.to_dict()
    rows = {row["gpu"]: row for row in record["gpus"]}
    edited = edited_prices().keys() & rows.keys()
    say.heading("{}", cheapest_sentence(shown, edited))
    say.line("{}", comparison_phrase(shown, request))
    if (kinds := kinds_sentence(shown, edited)) is not None:
        say.warning("{}", kinds)
    offers = [PricedOffer(row.offer, row.cost, row.efficient) for row in shown.gpus]
    names = {key: row["name"] for key, row in rows.items()}
    holding = [offer for offer in offers if rows[offer.offer.name]["max_batch_size"] is not None]
    if cheapest(shown) is None:
        st.info("Enter prices in the table below.")
    bands = {row.gpu: row.speed_band for row in shown.gpus if row.speed_band is not None}
    draw_spec(cost_against_time(holding, names, bands), "costs")
    say.caption("{}", price_words(rows.values(), edited, "type one into the table"))
    for sentence in overlap_sentences(shown):
        say.caption("{}", sentence)
    say.caption("{}", _sources(rows))
    _draw_table(holding, rows)
    for finding in record["findings"]:
        say.info("{}", finding)
    _draw_exports(run, shown, request, choice)


def _draw_exports(
    run: Run, shown: Comparison, request: Request | None, choice: PriceChoice
) -> None:
    """Draw the exports of what is shown: the plan and the prices are those of the page."""
    settings = comparison_phrase(shown, request)
    report = "\n".join(comparison_lines(shown, request))
    values = {**shown.to_dict(), "run_id": run.run_id}
    files = [
        File("JSON", lambda: json.dumps(values, indent=2, allow_nan=False), "json"),
        File("GPUs (CSV)", lambda: comparison_csv(shown, settings), "csv"),
        File("Report (text)", lambda: report, "txt"),
    ]
    draw_exports(run.run_id, _command(shown, request, choice), files, link_inputs(None))


def _command(shown: Comparison, request: Request | None, choice: PriceChoice) -> str | None:
    if request is None:
        return None
    plan = {name: getattr(shown.plan, name) for name in PLAN}
    prices = {**dict(request.prices), **edited_prices()}
    options = dataclasses.replace(request.options, **plan)
    asked = dataclasses.replace(
        request,
        options=options,
        prices=prices,
        price_kind=choice.kind or request.price_kind,
        live_prices=choice.live or request.live_prices,
    )
    return asked.command()


def _draw_table(offers: list[PricedOffer], rows: dict[str, dict[str, Any]]) -> None:
    """Draw the table; a price that is edited in it holds for the session."""
    order = [offer.offer.name for offer in offers]
    version = st.session_state.setdefault("price_editor", 0)
    key = f"prices_{version}"
    smallest, largest = bounds(options_of(AnalysisOptions)["price_per_hour"])
    shown = _columns(smallest, largest)
    cells = cells_of(shown, [(offer, rows[offer.offer.name]) for offer in offers])
    st.data_editor(
        cells,
        key=key,
        width="stretch",
        hide_index=True,
        placeholder=UNKNOWN,
        disabled=[column.title for column in shown if column.title != PRICE],
        column_config=column_config(shown, cells),
        alt="The costs of this training on each GPU",
        on_change=take_prices,
        args=(key, order),
    )
    if edited_prices():
        st.button(
            "Reset to the prices of the run",
            icon=":material/undo:",
            on_click=edit_prices,
            args=({},),
        )


def _columns(least_price: float, most_price: float) -> tuple[Column, ...]:
    """Return the columns; a row is of an offer at its price and the record of its GPU."""
    return (
        columns.text("GPU", _of("name"), pinned=True),
        columns.editable_money(PRICE, lambda pair: pair[0].offer.usd_per_hour,
                              least_price, most_price),
        *_banded(columns.money, "$/run", "usd_per_run"),
        *_banded(columns.figure, "Time per run (h)", "hours_per_run"),
        columns.text("Price source", _price_source, width="medium"),
        columns.text("Price date", _price_date),
        *_banded(columns.money, "$/million samples", "usd_per_million_samples"),
        *_banded(columns.money, "$/year", "usd_per_year"),
        *columns.with_band(columns.figure("Samples/s", _of("samples_per_second")), _speed_band),
        columns.count("Recommended batch", _of("optimal_batch_size")),
        columns.count("Largest batch", _of("max_batch_size")),
        columns.memory("Memory", _of("memory_bytes")),
        columns.memory("Capacity", _of("capacity_bytes")),
        columns.text("Host link", _host_link),
        columns.text("Best trade-off", lambda pair: "yes" if pair[0].efficient else "no",
                     help=BEST_TRADE_OFF),
        columns.text("Source", _of("source")),
    )  # fmt: skip


def _of(name: str) -> Value:
    return lambda pair: pair[1][name]


def _banded(make: Callable[[str, Value], Column], title: str, name: str) -> tuple[Column, ...]:
    """Make the columns of a cost or a time, which is as uncertain as the throughput."""

    def cost(pair: Pair) -> float | None:
        return getattr(pair[0].cost, name)

    def band(pair: Pair) -> tuple[float, float] | None:
        return cost_band(cost(pair), pair[1]["samples_per_second"], _speed_band(pair))

    return columns.with_band(make(title, cost), band)


def _host_link(pair: Pair) -> str | None:
    gpu = load_catalogue().get(pair[1]["gpu"])
    return gpu and gpu.host_link


def _speed_band(pair: Pair) -> tuple[float, float] | None:
    low, high = (pair[1].get(f"samples_per_second_{end}") for end in ("low", "high"))
    return None if low is None or high is None else (low, high)


def _price_source(pair: Pair) -> str | None:
    return "yours" if _is_edited(pair) else price_owner(pair[1]["price_source"])


def _price_date(pair: Pair) -> str | None:
    return None if _is_edited(pair) else pair[1]["price_observed_at"]


def _is_edited(pair: Pair) -> bool:
    return pair[1]["gpu"] in edited_prices()


def take_prices(key: str, order: list[str]) -> None:
    """Keep edited prices by GPU: the table is sorted anew, so row numbers mean nothing later."""
    prices = dict(edited_prices())
    price = options_of(AnalysisOptions)["price_per_hour"]
    for number, changes in st.session_state[key]["edited_rows"].items():
        if PRICE in changes and int(number) < len(order):
            with suppress(UsageError):  # the table's limits hold in the browser only
                prices[order[int(number)]] = price.check(changes[PRICE])
    edit_prices(prices)
    st.session_state["price_editor"] += 1


def _sources(rows: dict[str, dict[str, Any]]) -> str:
    measured = [row["name"] for row in rows.values() if row["source"] == "measured"]
    said = f"Throughput measured on {', '.join(measured)}. " if measured else ""
    return (
        f"{said}Simulated throughput is an estimate with a band, the line through its point: nine "
        "in ten published step times lie in theirs. GPUs whose bands overlap may rank differently "
        "in practice. "
        f"Best trade-off: {BEST_TRADE_OFF}"
    )


def _cost_card(column: Any, name: str, mark: Mark, cost: RunCost) -> None:
    with column.container(border=True):
        say.line("**{} batch {}**", name, count(mark.batch_size))
        _metric("Time per run", cost.hours_per_run, hours, mark.likely)
        _metric("Cost per run", cost.usd_per_run, usd, mark.likely)
        _metric("Cost per year", cost.usd_per_year, usd, mark.likely)
        _metric("Cost per million samples", cost.usd_per_million_samples, usd, mark.likely)
        band = likely_rate(mark.speed_band)
        say.caption("{}", f"{rate(cost.samples_per_second)} samples/s{band}")


def _metric(
    label: str,
    figure: float | None,
    write: Callable[[float | None], str],
    likely: Callable[[float | None], tuple[float, float] | None],
) -> None:
    """Draw a cost or a time, and below it where it is likely to lie."""
    say.metric(label, write(figure))
    band = likely(figure)
    if band is not None:
        say.caption("{}", _BANDS[write](band).strip(" ()").capitalize())
