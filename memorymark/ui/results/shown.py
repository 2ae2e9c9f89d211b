"""Which run a page shows: the one in the address, else the last one shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import streamlit as st
from streamlit.navigation.page import Page

from memorymark.errors import MemoryMarkError
from memorymark.records.analysis import Analysis
from memorymark.records.comparison import Comparison
from memorymark.records.costs import Plan
from memorymark.records.inputs import INPUT_NAMES
from memorymark.records.request import RequestKind
from memorymark.report.visible import visible
from memorymark.service.history import Run, RunStatus
from memorymark.ui import say
from memorymark.ui.engine import app_service
from memorymark.ui.frame import ANALYSIS, pages
from memorymark.ui.kept_runs import (
    RUN_PARAMETER,
    analysis_of,
    forget_opened,
    note_opened,
    open_run,
    request_of,
    show_run,
    why_missing,
)
from memorymark.ui.results.job_view import draw_kept_log, watch_log
from memorymark.ui.results.press import mark_if_stale
from memorymark.ui.setup.choices import read_inputs, set_shown, shown_analysis, write_inputs
from memorymark.ui.setup.current import (
    current_form,
    fill_setup,
    note_page,
    refuse_in_address,
    setup_values,
)
from memorymark.ui.setup.setup_address import is_in_address
from memorymark.ui.setup.setup_record import BATCH

_CARRIED = (BATCH, *INPUT_NAMES)
_NOTHING: Mapping[str, str] = MappingProxyType({})
_BEFORE = "before_"  # and a kind: the run that was shown before the last one
_MET = "met"  # whether this visitor's first page was drawn
_PAGES = {
    RequestKind.ANALYSIS: "analysis",
    RequestKind.BACKWARD: "backward",
    RequestKind.COMPILE: "backward",
    RequestKind.COMPARISON: "comparison",
    RequestKind.LEVERS: "levers",
    RequestKind.SESSIONS: "sessions",
    RequestKind.GENERATE: "generate",
    RequestKind.TRAIN: "training",
    RequestKind.COMPARE_TRAINING: "training",
}


def lead_on(page: Page) -> None:
    """Go on to the page that shows the run which the address names, where that is another one.

    Before anything is drawn: a browser that has part of one page when it gets the next may show
    neither.
    """
    try:
        run = app_service().history.summary(st.query_params[RUN_PARAMETER])
    except (KeyError, MemoryMarkError):
        return  # the page itself says what is wrong
    if run.kind not in _PAGES:
        return
    showing = {pages()[name].title for name in _PAGES.values()}
    if page.title in showing and page.title != pages()[_PAGES[RequestKind(run.kind)]].title:
        go_to(run, _carried())


def _carried() -> dict[str, str]:
    return {name: st.query_params[name] for name in _CARRIED if name in st.query_params}


def shown_runs(*kinds: RequestKind) -> dict[RequestKind, Run | None]:
    """Return the run of each kind that a page shows, and keep its address in step.

    A link to a run of a kind that the page does not show leads on to the page that does.
    """
    asked = st.query_params.get(RUN_PARAMETER)
    run = open_run(asked)
    if asked and run is None:
        say.warning("{}", why_missing(asked), icon=":material/link_off:")
    elif run is not None and run.kind not in kinds:
        go_to(run, _carried())
    elif run is not None:
        _note_last(run)
    runs = {kind: open_run(st.session_state.get(f"last_{kind}")) for kind in kinds}
    known = [run for run in runs.values() if run is not None]
    if not asked and known:
        newest = max(known, key=lambda run: run.created_at or 0.0).run_id
        show_run(newest)
        note_opened(newest)
    return runs


def newest_shown(runs: Mapping[RequestKind, Run | None]) -> Run | None:
    """Return the run that the address names, else the newest, for a page that shows one of all."""
    known = [run for run in runs.values() if run is not None]
    asked = [run for run in known if run.run_id == st.query_params.get(RUN_PARAMETER)]
    return max(asked or known, key=lambda run: run.created_at or 0.0, default=None)


def _note_last(run: Run) -> None:
    """Note which run is shown, and which one with a result was shown before it."""
    last = f"last_{run.kind}"
    if st.session_state.get(last) != run.run_id:
        st.session_state[f"{_BEFORE}{run.kind}"] = st.session_state.get(last)
    st.session_state[last] = run.run_id


def go_to(run: Run, carried: Mapping[str, str] = _NOTHING) -> None:
    """Lead on to the page that shows a run.

    Args:
        run: The run.
        carried: What its address says beside it.
    """
    if run.kind not in _PAGES:
        say.warning("No page of this version shows run {}, of kind {!r}.", run.run_id, run.kind)
        return
    forget_opened()
    page = pages()[_PAGES[RequestKind(run.kind)]]
    st.switch_page(page, query_params={RUN_PARAMETER: run.run_id, **carried})


def draw_run(
    run: Run | None,
    draw_result: Callable[[Run], None],
    button: str,
    watch: Callable[[str], None] = watch_log,
) -> None:
    """Draw a run as it stands: its result, or its log and the result that was shown before it.

    A result is marked where it is of other settings.

    Args:
        run: What is shown, if anything is.
        draw_result: Draws a run with a result.
        button: What the button says that makes another one.
        watch: Draws an active run, by its id.
    """
    if run is None:
        return
    result: Run | None = run
    if run.status.is_active or run.record is None:
        _draw_without_result(run, watch)
        result = open_run(st.session_state.get(f"{_BEFORE}{run.kind}"))
        if result is None or result.record is None:
            return
        say.caption("Below is the earlier result, of run {}.", result.run_id)
    mark_if_stale(result, button)
    try:
        draw_result(result)
    except MemoryMarkError as error:
        say.error("{}", error)


def _draw_without_result(run: Run, watch: Callable[[str], None]) -> None:
    if run.status.is_active:
        watch(run.run_id)
    elif run.status is RunStatus.DONE:
        say.error("The record of run {} is damaged. Delete it on the Runs page.", run.run_id)
    else:
        draw_kept_log(run)


def open_asked_run(page: Page) -> None:
    """Fill the setup from the run that the address of a page names, where that is opened now.

    A visitor who asks for nothing sees the first run; the setup stays as it is.
    """
    note_page(page.url_path)
    setup_values()
    asked = st.query_params.get(RUN_PARAMETER)
    is_first = _MET not in st.session_state
    st.session_state[_MET] = True
    if note_opened(asked):
        run = open_run(asked)
        request = request_of(run) if run is not None else None
        if request is not None:
            fill_setup(request)
        refuse_in_address(read_inputs())
    elif is_first:
        refuse_in_address(read_inputs())
    if not (asked or is_in_address(current_form()) or "last_analysis" in st.session_state):
        st.session_state["last_analysis"] = app_service().first_run()


def note_shown(*, comparison: bool) -> None:
    """Note what the address or the last page named, before the sidebar is drawn.

    Args:
        comparison: Whether it is the page of comparisons, which shows the plan of one.
    """
    set_shown(_shown_analysis(), _shown_plan() if comparison else None)
    write_inputs()


def name_tab(page: Page) -> None:
    """Name the browser's tab after the page, and after the model whose analysis it shows."""
    shown = shown_analysis() if page.title == ANALYSIS else None
    model = "" if shown is None else f"{visible(shown.workload)} · "
    st.set_page_config(page_title=f"{model}{page.title} · MemoryMark")


def _shown_plan() -> Plan | None:
    asked = open_run(st.query_params.get(RUN_PARAMETER))
    if asked is None or asked.kind != RequestKind.COMPARISON:
        asked = open_run(st.session_state.get(f"last_{RequestKind.COMPARISON}"))
    if asked is None or asked.record is None:
        return None
    try:
        return Comparison.from_dict(asked.record).plan
    except MemoryMarkError:
        return None  # the page itself says what is wrong


def _shown_analysis() -> Analysis | None:
    run_id = st.query_params.get(RUN_PARAMETER) or st.session_state.get("last_analysis")
    run = open_run(run_id)
    for name in ("last_analysis", f"{_BEFORE}{RequestKind.ANALYSIS}"):
        if run is None or run.kind != RequestKind.ANALYSIS or run.record is None:
            run = open_run(st.session_state.get(name))
    is_shown = run is not None and run.kind == RequestKind.ANALYSIS and run.record is not None
    try:
        return analysis_of(run.run_id) if is_shown else None
    except MemoryMarkError:
        return None  # the page itself says what is wrong
