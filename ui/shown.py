"""Which run a page shows: the one in its address, else the last one that it showed."""

from __future__ import annotations

import streamlit as st

from memorymark.requests import RequestKind
from memorymark.runs import Run
from ui.choices import set_shown
from ui.engine import RUN_PARAMETER, analysis_of, get_door, open_run, show_run
from ui.frame import pages


def shown_run(kind: RequestKind) -> Run | None:
    """Return the run that a page shows, and keep its address in step.

    A link to a run of another kind leads on to the page of that kind.
    """
    asked = st.query_params.get(RUN_PARAMETER)
    run = open_run(asked)
    if asked and run is None:
        st.warning(
            f"There is no run {asked!r} in this machine's history. It may have been deleted.",
            icon=":material/link_off:",
        )
        return None
    if run is not None and run.kind != kind and run.kind in pages():
        st.switch_page(pages()[run.kind], query_params={RUN_PARAMETER: run.run_id})
    if run is None:
        run = open_run(st.session_state.get(f"last_{kind}"))
    if run is not None:
        st.session_state[f"last_{kind}"] = run.run_id
        show_run(run.run_id)
    return run


def note_shown_analysis() -> None:
    """Note the analysis that the address or the last page named, before the sidebar is drawn."""
    run_id = st.query_params.get(RUN_PARAMETER) or st.session_state.get("last_analysis")
    run = open_run(run_id)
    if run is None or run.kind != RequestKind.ANALYSIS or run.record is None:
        run = open_run(st.session_state.get("last_analysis"))
    is_shown = run is not None and run.kind == RequestKind.ANALYSIS and run.record is not None
    set_shown(analysis_of(run.run_id) if is_shown and get_door() else None)
