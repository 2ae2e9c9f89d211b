"""Levers on the page: the table, the chart, what makes it fit, and one lever to apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from memorymark.errors import UnknownChoice, UsageError
from memorymark.records.codec import to_json
from memorymark.records.lever import Lever, LeverReport
from memorymark.records.request import Request
from memorymark.report.charts.lever_charts import memory_against_throughput
from memorymark.report.lever_lines import (
    cards_sentence,
    cost_words,
    fits_words,
    lever_lines,
    levers_phrase,
    levers_sentence,
)
from memorymark.service.history import Run
from memorymark.ui import columns, say
from memorymark.ui.charting import draw_spec
from memorymark.ui.columns import draw_table
from memorymark.ui.kept_runs import request_of
from memorymark.ui.pieces import File, draw_exports
from memorymark.ui.results.analysis_view import source_line
from memorymark.ui.say import plain
from memorymark.ui.setup.choices import link_inputs
from memorymark.ui.setup.current import set_value
from memorymark.ui.setup.setup_record import BATCH, OPTIONS
from memorymark.units import count, gib, likely_rate, rate

MOST_ROWS = 5
Numbered = tuple[int, Lever]
_AT_ITS_BATCH = (
    "At the current batch, or the one that the change names. The larger batch that a change makes "
    "room for may be faster: apply it and analyze to know."
)
_FIGURES = (
    columns.text("Fits", lambda row: fits_words(row[1])),
    columns.memory("Memory needed", lambda row: row[1].memory_bytes),
    columns.memory("Memory saved", lambda row: row[1].saved_bytes),
    columns.count("Largest batch", lambda row: row[1].max_batch_size),
    *columns.with_band(
        columns.figure("Samples/s", lambda row: row[1].samples_per_second, help=_AT_ITS_BATCH),
        lambda row: row[1].speed_band,
    ),
    *columns.with_band(
        columns.money(
            "$/million samples", lambda row: row[1].cost_per_million_samples, help=_AT_ITS_BATCH
        ),
        lambda row: row[1].cost_band,
    ),
)
_LEVERS = (
    columns.count("No.", lambda row: row[0], pinned=True),
    columns.text("Change", lambda row: row[1].name, width="large"),
    *_FIGURES,
    columns.text("Best trade-off", lambda row: "yes" if row[1].efficient else "no"),
    columns.text("What it may do", lambda row: row[1].notes, width="large"),
)
_STEPS = (
    columns.count("Step", lambda row: row[0], pinned=True),
    columns.text("Change", lambda row: row[1].name, width="large"),
    *_FIGURES,
)


def draw_levers(run: Run) -> None:
    """Draw the levers of a finished run."""
    report, request = LeverReport.from_dict(run.record or {}), request_of(run)
    say.heading("{}", levers_sentence(report))
    say.line("{}", levers_phrase(report, request))
    say.caption("{}", source_line(report.target, report.created_at, report.software))
    _draw_notes(report)
    _draw_steps(report)
    _draw_ranked(report)
    _draw_missing(report)
    _draw_exports(run, report, request)


def draw_found(report: LeverReport) -> None:
    """Draw levers in short, below the analysis of the same training."""
    _draw_steps(report)
    say.line("As it is: {}. Each change, the best first:", _figures_of(report.before))
    _draw_rows(list(enumerate(report.levers))[:MOST_ROWS], report)
    if more := list(enumerate(report.levers))[MOST_ROWS:]:
        with st.expander(plain(f"{len(more)} more changes"), icon=":material/tune:"):
            _draw_rows(more, report)
    if not report.levers:
        _say_none()
    _draw_notes(report)


def _draw_rows(rows: Sequence[Numbered], report: LeverReport) -> None:
    for number, lever in rows:
        words, button = st.columns([5, 1])
        with words:
            say.line("**{}**  \n{}", lever.name, _figures_of(lever))
            say.caption("{}", lever.notes)
        with button:
            _draw_apply("Apply", lever, report, f"row_{number}")


def _draw_notes(report: LeverReport) -> None:
    """Draw the smallest card that fits, and what else is to be known."""
    cards = cards_sentence(report)
    for text in (*([cards] if cards else []), *report.findings):
        say.info("{}", text)


def _draw_steps(report: LeverReport) -> None:
    """Draw what makes the batch fit, where it does not."""
    if not report.make_it_fit:
        return
    st.subheader("Make it fit", anchor=False)
    draw_table(_STEPS, list(enumerate(report.make_it_fit)), "Levers that make it fit, in order")
    st.caption("Each step holds all changes up to it; each is simulated.")
    _draw_apply("Apply all of them", report.make_it_fit[-1], report, "all")


def values_of(lever: Lever) -> dict[str, Any]:
    """Return what a lever sets in the setup, by name.

    Raises:
        UsageError: It is of another version, whose settings this one does not take.
    """
    values = {BATCH if name == "batch_size" else name: x for name, x in lever.changes.items()}
    for name in values:
        if name not in OPTIONS:
            raise UnknownChoice("setting", name, OPTIONS)
    return {name: OPTIONS[name].check(value) for name, value in values.items()}


def _apply(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        set_value(name, value)


def _draw_ranked(report: LeverReport) -> None:
    st.subheader("Memory against throughput", anchor=False)
    draw_spec(memory_against_throughput(report), "levers")
    say.caption(
        "Numbers are those of the table. Throughput is {} at batch size {}; it is likely to lie "
        "within the line through its point.",
        report.source,
        report.batch_size,
    )
    st.subheader("Levers", anchor=False)
    rows = list(enumerate(report.levers, 1))
    if not rows:
        _say_none()
        return
    draw_table(_LEVERS, rows, "The levers, the best first")
    _draw_chosen(rows, report)


def _say_none() -> None:
    st.caption("No lever saves memory or money here.")


def _draw_chosen(rows: Sequence[Numbered], report: LeverReport) -> None:
    """Draw the lines of code of one lever, and the button that applies it."""
    names = {number: f"{number}. {lever.name}" for number, lever in rows}
    number = st.selectbox(
        "Lever", list(names), format_func=lambda each: names[each], key=f"lever_{report.run_id}"
    )
    lever = dict(rows).get(number or 1, rows[0][1])
    say.caption("{}", lever.notes)
    if lever.snippet:
        st.code(lever.snippet, language=None, wrap_lines=True)  # colours are too faint
    _draw_apply("Apply to the settings", lever, report)


def _draw_apply(label: str, lever: Lever, report: LeverReport, key: str = "chosen") -> None:
    try:
        values, told = values_of(lever), f"Sets the settings above to: {lever.name}."
    except UsageError as error:
        values, told = {}, str(error)
    st.button(
        plain(label),
        key=f"apply_{key}_{label}_{report.run_id}",
        icon=":material/tune:",
        on_click=_apply,
        args=(values,),
        disabled=not values,
        help=plain(told),
    )


def _draw_missing(report: LeverReport) -> None:
    if not report.unavailable:
        return
    with st.expander("Levers that are not taken here", icon=":material/block:"):
        for missing in report.unavailable:
            say.line("- {}: {}", missing.name, missing.reason)


def _draw_exports(run: Run, report: LeverReport, request: Request | None) -> None:
    text = "\n".join(lever_lines(report, request))
    files = [
        File("JSON", lambda: to_json(report), "json"),
        File("Report (text)", lambda: text, "txt"),
    ]
    carried = link_inputs(request.options if request else None)
    draw_exports(run.run_id, request.command() if request else None, files, carried)


def _figures_of(lever: Lever) -> str:
    """Write what a lever comes to, as in "saves 2.05 GiB · 1,141 samples/s (likely …)"."""
    saved, speed = lever.saved_bytes or 0, lever.samples_per_second
    figures = [
        "does not fit" if lever.fits is False else "",
        f"needs {gib(lever.memory_bytes)}",
        "" if not saved else f"saves {gib(saved)}" if saved > 0 else f"takes {gib(-saved)} more",
        "" if lever.max_batch_size is None else f"largest batch {count(lever.max_batch_size)}",
        "" if speed is None else f"{rate(speed)} samples/s{likely_rate(lever.speed_band)}",
        "" if lever.cost_per_million_samples is None else cost_words(lever),
    ]
    return " · ".join(filter(None, figures))
