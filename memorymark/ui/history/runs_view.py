"""The run history on the page."""

from __future__ import annotations

from operator import attrgetter

import streamlit as st

from memorymark.report.settings_phrase import kept_phrase
from memorymark.service.history import Run
from memorymark.ui import columns, say
from memorymark.ui.engine import app_service
from memorymark.ui.history.deletion import ask_to_delete
from memorymark.ui.kept_runs import export_run, open_run
from memorymark.ui.pieces import download, file_name
from memorymark.ui.results.job_view import device_words, queue_words
from memorymark.ui.results.shown import go_to
from memorymark.units import local_time

_MOST_RUNS = 500
_DRAWN = "runs_drawn"
_ROUND = "runs_round"
_TO_SELECT = (  # by how many are selected
    "Select one run to open it, or two and more to compare them.",
    "Select another run to compare it with this one.",
)
_COLUMNS = (
    columns.text("Run", attrgetter("run_id"), pinned=True),
    columns.text("Model", attrgetter("model"), pinned=True),
    columns.moment("Started", lambda run: local_time(run.created_at)),
    columns.text("Kind", attrgetter("kind")),
    columns.text("Device", attrgetter("device")),
    columns.text("Status", attrgetter("status")),
    columns.text("Settings", lambda run: kept_phrase(run.request) or None, width="medium"),
    columns.text("Source", attrgetter("source")),
    columns.text("Error", lambda run: run.error or ""),
)


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
    """Draw the list and return the runs that are selected in it.

    Note on selections. A browser sends the numbers of the rows that are ticked, and a run that is
    saved meanwhile moves the rows. So a table is a widget of its own for each list of ids: its
    numbers are read against the very list that it showed, never against a newer one. What was
    ticked is carried over into the table of the newer list by id.
    """
    text = st.text_input(
        "Search",
        placeholder="model, device or run id",
        key="runs_find",
        icon=":material/search:",
    )
    runs = app_service().history.find(text=text.strip(), limit=_MOST_RUNS)
    ticked = _ticked()
    if not runs:
        st.session_state.pop(_DRAWN, None)
        _draw_empty(text)
        return []
    ids = [run.run_id for run in runs]
    key = f"runs_{hash((st.session_state.get(_ROUND, 0), *ids))}"
    event = columns.draw_table(
        _COLUMNS,
        runs,
        "The runs that are kept on this machine",
        key=key,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={
            "selection": {"rows": [row for row, run_id in enumerate(ids) if run_id in ticked]}
        },
    )
    st.session_state[_DRAWN] = (key, ids)
    chosen = [runs[row] for row in event["selection"]["rows"] if row < len(runs)]
    if len(chosen) < len(_TO_SELECT):
        say.caption("{}", _TO_SELECT[len(chosen)])
    return chosen


def _ticked() -> set[str]:
    """Return the ids of the rows that are ticked in the table that was drawn last."""
    if _DRAWN not in st.session_state:
        return set()
    key, ids = st.session_state[_DRAWN]
    rows = st.session_state.get(key, {}).get("selection", {}).get("rows", [])
    return {ids[row] for row in rows if row < len(ids)}


def clear_ticks() -> None:
    """Let nothing be ticked in the next table."""
    st.session_state.pop(_DRAWN, None)
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1


def draw_actions(chosen: list[Run]) -> None:
    """Draw what can be done with the selected runs."""
    with st.container(horizontal=True):
        if len(chosen) == 1:
            if st.button("Open", type="primary", icon=":material/open_in_new:"):
                go_to(chosen[0])
            _draw_export(chosen[0].run_id)
        st.button(
            f"Delete selected ({len(chosen)})…",
            key="delete",
            icon=":material/delete:",
            on_click=ask_to_delete,
            args=(chosen,),
        )


def _draw_export(run_id: str) -> None:
    run = open_run(run_id)
    if run is not None and run.record is not None:
        name = f"{file_name(run_id)}.json"
        download("JSON", lambda: export_run(run_id), name, "application/json")


def _draw_empty(text: str) -> None:
    if text.strip():
        say.info("No run matches {!r}.", text.strip(), icon=":material/search_off:")
        return
    problem = app_service().history.problem()
    if problem is not None and problem.verb == "read":
        return  # the page says so above; whether there are runs is not known
    st.info(
        "No runs yet. Press Analyze on the Analysis page, or run `memorymark analyze bert` in a "
        "terminal on this machine. Both are listed here.",
        icon=":material/lightbulb:",
    )
