"""Sessions on the page: the verdict, the demand, memory while they take turns, the latency."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import streamlit as st

from memorymark.records.codec import to_json
from memorymark.records.request import Request
from memorymark.records.session_demand import Demand, demand_of
from memorymark.records.session_run import SessionRun
from memorymark.report.charts.session_charts import (
    demand_bar,
    memory_over_turns,
    sessions_by_context,
)
from memorymark.report.session_lines import (
    session_figures,
    session_lines,
    sessions_phrase,
    sessions_sentence,
)
from memorymark.service.history import Run
from memorymark.ui import columns, say
from memorymark.ui.charting import draw_spec
from memorymark.ui.columns import draw_table
from memorymark.ui.kept_runs import request_of
from memorymark.ui.pieces import File, card, draw_exports
from memorymark.ui.results.analysis_view import source_line
from memorymark.ui.setup.choices import chosen_price, link_inputs
from memorymark.ui.setup.targets import target_of_result
from memorymark.units import count, likely_rate, likely_seconds, mib_or_gib, rate, seconds, usd

_FIGURES = (
    columns.text("Figure", lambda row: row[0], width="medium"),
    columns.text("Value", lambda row: row[1], width="large"),
)
_MOST_SESSIONS = 4  # times as many as there is room for, at the end of the slider


def draw_sessions(run: Run) -> None:
    """Draw a finished run of sessions."""
    kept, request = SessionRun.from_dict(run.record or {}), request_of(run)
    found = _at_chosen_price(kept)
    say.heading("{}", sessions_sentence(found))
    say.line("{}", sessions_phrase(found, request))
    say.caption("{}", source_line(found.target, found.created_at, found.software))
    for finding in found.findings:
        say.info("{}", finding)
    _draw_cards(found)
    _draw_demand(found, run.run_id)
    st.subheader("Memory while sessions take turns", anchor=False)
    draw_spec(memory_over_turns(found), f"turns_{run.run_id}")
    st.caption("A step for each turn of a session, in the order in which turns began.")
    if any(room.sessions for room in found.rooms):
        st.subheader("Sessions over context", anchor=False)
        draw_spec(sessions_by_context(found.rooms), f"rooms_{run.run_id}")
    st.subheader("All figures", anchor=False)
    draw_table(_FIGURES, session_figures(found), "Figures of the run")
    for note in found.assumptions:
        say.caption("{}", note)
    _draw_exports(run, kept, request)


def _at_chosen_price(found: SessionRun) -> SessionRun:
    """Return a run at the price that the visitor set for its target, where one was set."""
    price = chosen_price(target_of_result(found.target))
    return found if price is None else dataclasses.replace(found, price_per_hour=price)


def _draw_cards(found: SessionRun) -> None:
    told = f"recommended: {count(found.sessions_recommended)}"
    if found.sessions_held is None:  # too many to try
        told = f"{count(found.sessions_by_bytes)} by bytes alone"
    with st.grid(3, min_column_width=200):
        card(
            "Completed",
            count(found.sessions_completed),
            f"of {count(found.plan.sessions)} asked for",
        )
        card(
            "Held at once",
            count(found.sessions_held),
            told,
            "Sessions that come to their end with all caches on the device. Recommended: with 5 % "
            "of its memory kept free.",
        )
        card("Cache of a session", mib_or_gib(found.cache_bytes_per_session), "at its end")
        _draw_rate(found)
        _draw_latency("First token", found.first_token_seconds, found)
        _draw_latency("Next token", found.next_token_seconds, found)
        _draw_latency("Next token after swaps", found.next_token_swapped_seconds, found)


def _draw_rate(found: SessionRun) -> None:
    """Draw tokens per second of all sessions, and what they cost."""
    speed, cost = found.tokens_per_second, found.cost_per_million_tokens
    price = found.price_per_hour
    card("New tokens/s, all sessions", rate(speed), _told(found, speed, likely_rate))
    told = "no price is known" if price is None else f"at {usd(price)} per hour"
    card("Per million new tokens", usd(cost), told)


def _told(
    found: SessionRun, value: float | None, likely: Callable[[tuple[float, float] | None], str]
) -> str:
    """Say where a figure comes from: measured, or simulated with the band around it."""
    if value is None:
        is_short = found.sessions_completed < found.plan.sessions
        return "not all sessions completed" if is_short else "not known"
    return likely(found.band(value)).strip(" ()") or "measured"


def _draw_latency(label: str, value: float | None, found: SessionRun) -> None:
    """Draw seconds: measured, or simulated with the band around them."""
    band = found.band(value)
    if value is None:
        told = "no swaps" if "swaps" in label else "no session came so far"
    elif band is None:
        told = "measured"
    else:
        told = likely_seconds(*band).strip(" ()")
    card(label, seconds(value), told)


def _draw_demand(found: SessionRun, run_id: str) -> None:
    """Draw the sliders and the bar that follows them."""
    known = [room.context_tokens for room in found.rooms] or [found.config.context_tokens]
    st.subheader("What sessions need", anchor=False)
    room = found.sessions_by_bytes or found.plan.sessions
    most = max(_MOST_SESSIONS * room, found.plan.sessions, 2)
    with st.grid(2, min_column_width=220):
        sessions = st.slider(
            "Sessions", 1, most, found.plan.sessions, key=f"demand_sessions_{run_id}"
        )
        if len(known) > 1:
            context = st.slider(
                "Context (tokens)", known[0], known[-1], found.config.context_tokens,
                key=f"demand_context_{run_id}",
            )  # fmt: skip
        else:
            context = known[0]
    demand = demand_of(found, sessions, context)
    if demand is None:
        st.caption("No session came to its end: what one needs is not known.")
        return
    say.line("{}", _demand_words(demand))
    draw_spec(demand_bar(demand), f"demand_{run_id}")
    st.caption(
        "Worked out from the bytes of the contexts that were simulated, evenly between them. By "
        "bytes alone: the allocator loses some between its blocks, which the run below shows."
    )


def _demand_words(demand: Demand) -> str:
    needs = (
        f"{count(demand.sessions)} sessions of {count(demand.context_tokens)} tokens need "
        f"{mib_or_gib(demand.total_bytes)}"
    )
    if demand.capacity_bytes is None or demand.room is None:
        return f"{needs}."
    fits = "fits" if demand.total_bytes <= demand.capacity_bytes else "does not fit"
    return (
        f"{needs} of {mib_or_gib(demand.capacity_bytes)}, which {fits}; there is room for "
        f"{count(demand.room)}."
    )


def _draw_exports(run: Run, found: SessionRun, request: Request | None) -> None:
    text = "\n".join(session_lines(found, request))
    files = [
        File("JSON", lambda: to_json(found), "json"),
        File("Report (text)", lambda: text, "txt"),
    ]
    draw_exports(run.run_id, request.command() if request else None, files, link_inputs(None))
