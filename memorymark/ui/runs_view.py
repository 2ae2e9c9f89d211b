"""The run history on the page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.request import RequestKind
from memorymark.report.sentences import verdict
from memorymark.service.history import Run
from memorymark.ui import say
from memorymark.ui.analysis_view import draw_curves, draw_key_figures, source_line
from memorymark.ui.engine import analysis_of, app_service, export_run, open_run, visitor
from memorymark.ui.job_view import device_words, queue_words
from memorymark.ui.pieces import download, file_name
from memorymark.ui.shown import go_to
from memorymark.units import UNKNOWN

_MOST_RUNS = 500


@st.fragment(run_every=2.0)
def draw_queue() -> None:
    """Draw the jobs that work or wait, where there are any."""
    for job in app_service().jobs.active():
        words = (
            queue_words(job) if job.started_at is None else f"running on {device_words(job.device)}"
        )
        say.info(
            "{} · {} of {} · {}",
            job.run_id,
            job.kind,
            job.request.get("model"),
            words,
            icon=":material/hourglass_top:",
        )


def draw_table() -> list[Run]:
    """Draw the list and return the runs that are selected in it."""
    text = st.text_input(
        "Search",
        placeholder="model, device or run id",
        key="runs_find",
        icon=":material/search:",
    )
    runs = app_service().history.find(text=text.strip(), limit=_MOST_RUNS)
    if not runs:
        _draw_empty(text)
        return []
    event = st.dataframe(
        [_cells(run) for run in runs],
        key="runs_table",
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
    )
    st.caption("Select one run to open it, or two to compare them side by side.")
    return [runs[row] for row in event["selection"]["rows"] if row < len(runs)]


def draw_actions(chosen: list[Run]) -> None:
    """Draw what can be done with the selected runs."""
    with st.container(horizontal=True):
        if len(chosen) == 1:
            if st.button("Open", type="primary", icon=":material/open_in_new:"):
                go_to(chosen[0])
            run_id = chosen[0].run_id
            name = f"{file_name(run_id)}.json"
            download("JSON", lambda: export_run(run_id), name, "application/json")
        if st.button(f"Delete selected ({len(chosen)})", key="delete", icon=":material/delete:"):
            _delete(chosen)


def draw_side_by_side(first: Run, second: Run) -> None:
    """Draw two analyses beside one another."""
    for side, run in zip(st.columns(2), (first, second), strict=True):
        with side:
            _draw_one(run)


def _draw_one(run: Run) -> None:
    opened = open_run(run.run_id)
    if opened is None or opened.kind != RequestKind.ANALYSIS or opened.record is None:
        say.info("Run {} is not a finished analysis. Only those can be compared.", run.run_id)
        return
    try:
        analysis = analysis_of(run.run_id)
    except MemoryMarkError as error:
        say.error("{}", error)
        return
    say.line("**Run {}: {}**", run.run_id, verdict(analysis))
    say.caption("{}", source_line(analysis.target, analysis.created_at, analysis.software))
    draw_key_figures(analysis)
    draw_curves(analysis, key=f"compare_{run.run_id}")


def _delete(chosen: list[Run]) -> None:
    try:
        for run in chosen:
            app_service().delete(run.run_id, visitor())
    except MemoryMarkError as error:
        say.error("{}", error)
        return
    st.rerun()


def _draw_empty(text: str) -> None:
    if text.strip():
        say.info("No run matches {!r}.", text.strip(), icon=":material/search_off:")
        return
    st.info(
        "No runs yet. Press Analyze on the Analysis page, or run `memorymark analyze bert` in a "
        "terminal on this machine. Both are listed here.",
        icon=":material/lightbulb:",
    )


def _cells(run: Run) -> dict[str, Any]:
    return {
        "Run": run.run_id,
        "Started": datetime.fromtimestamp(run.created_at).strftime("%Y-%m-%d %H:%M"),
        "Kind": run.kind,
        "Model": run.model or UNKNOWN,
        "Device": run.device or UNKNOWN,
        "Source": run.source or UNKNOWN,
        "Status": str(run.status),
        "Error": run.error or "",
    }
