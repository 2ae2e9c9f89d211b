"""Which run a page shows: the one in the address, else the last one shown."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.request import RequestKind
from memorymark.service.history import Run, RunStatus
from memorymark.ui import say
from memorymark.ui.choices import set_shown
from memorymark.ui.engine import RUN_PARAMETER, analysis_of, open_run, show_run, why_missing
from memorymark.ui.frame import pages
from memorymark.ui.job_view import draw_ended, watch

_PAGES = {
    RequestKind.ANALYSIS: "analysis",
    RequestKind.BACKWARD: "backward",
    RequestKind.COMPILE: "backward",
    RequestKind.COMPARISON: "comparison",
}


def shown_runs(*kinds: RequestKind) -> dict[RequestKind, Run | None]:
    """Return the run of each kind that a page shows, and keep its address in step.

    A link to a run of a kind that the page does not show leads on to the page that does.
    """
    asked = st.query_params.get(RUN_PARAMETER)
    run = open_run(asked)
    if asked and run is None:
        say.warning("{}", why_missing(asked), icon=":material/link_off:")
    elif run is not None and run.kind not in kinds:
        go_to(run)
    elif run is not None:
        st.session_state[f"last_{run.kind}"] = run.run_id
    runs = {kind: open_run(st.session_state.get(f"last_{kind}")) for kind in kinds}
    known = [run for run in runs.values() if run is not None]
    if not asked and known:
        show_run(max(known, key=lambda run: run.created_at or 0.0).run_id)
    return runs


def go_to(run: Run) -> None:
    """Lead on to the page that shows a run."""
    if run.kind not in _PAGES:
        say.warning("No page of this version shows run {}, of kind {!r}.", run.run_id, run.kind)
        return
    page = pages()[_PAGES[RequestKind(run.kind)]]
    st.switch_page(page, query_params={RUN_PARAMETER: run.run_id})


def draw_run(run: Run | None, draw_result: Callable[[Run], None]) -> None:
    """Draw a run as it stands: its progress, its end without a result, or its result."""
    if run is None:
        return
    if run.status.is_active:
        watch(run.run_id)
        return
    if run.status is not RunStatus.DONE:
        draw_ended(run)
    if run.record is None:
        if run.status is RunStatus.DONE:
            say.error("The record of run {} is damaged. Delete it on the Runs page.", run.run_id)
        return
    try:
        draw_result(run)
    except MemoryMarkError as error:
        say.error("{}", error)


def note_shown_analysis() -> None:
    """Note the analysis that the address or the last page named, before the sidebar is drawn."""
    run_id = st.query_params.get(RUN_PARAMETER) or st.session_state.get("last_analysis")
    run = open_run(run_id)
    if run is None or run.kind != RequestKind.ANALYSIS or run.record is None:
        run = open_run(st.session_state.get("last_analysis"))
    is_shown = run is not None and run.kind == RequestKind.ANALYSIS and run.record is not None
    try:
        set_shown(analysis_of(run.run_id) if is_shown else None)
    except MemoryMarkError:
        set_shown(None)  # the page itself says what is wrong
