"""What would make room, below an analysis: its levers, found while nothing else is to do.

Trying them takes several times as long as the analysis itself. So they are work of their own, for
the very training and card of the analysis; where it is not done by itself, a button starts it as a
job. What was found once is shown at once.
"""

from __future__ import annotations

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.analysis import Analysis
from memorymark.records.lever import LeverReport
from memorymark.records.request import Request
from memorymark.service.follow_ups import FollowUp
from memorymark.service.found_levers import found_levers, levers_request
from memorymark.service.history import Run, RunStatus
from memorymark.ui import say
from memorymark.ui.engine import app_service, visitor
from memorymark.ui.kept_runs import open_run
from memorymark.ui.redraw import note_error, noted_error, redraw
from memorymark.ui.results.job_view import POLL_SECONDS, say_ended, watch
from memorymark.ui.results.levers_view import draw_found
from memorymark.ui.results.shown import go_to
from memorymark.ui.slots import drawing

_RUN = "levers_of_"  # and the id of an analysis: the run of its levers
_FIND = "levers"  # what its errors are noted under


def draw_analysis_levers(analysis: Analysis, asked: Request | None) -> bool:
    """Draw the levers of an analysis, how far they are, or the button that finds them.

    Returns:
        Whether they are found.
    """
    request = levers_request(analysis, asked)
    if request is None:
        return False
    st.subheader("What would make room", anchor=False)
    run = _run_of(analysis, request)
    if run is not None and run.status.is_active:
        watch(run.run_id)
    elif run is not None and run.record is not None:
        _draw_found(run, analysis)
        return True
    else:
        if run is not None and run.status is not RunStatus.DONE:
            say_ended(run)
        _draw_missing(analysis, request, is_new=run is None)
    return False


def _draw_found(run: Run, analysis: Analysis) -> None:
    try:
        report = LeverReport.from_dict(run.record or {})
    except MemoryMarkError as error:
        say.error("{}", error)
        return
    draw_found(report.priced(analysis.options.price_per_hour))
    say.caption("Simulated at batch size {}; run {}.", report.batch_size, run.run_id)
    if st.button(
        "Chart, table and code of all changes", icon=":material/open_in_new:", type="tertiary"
    ):
        go_to(run)


def _draw_missing(analysis: Analysis, request: Request, *, is_new: bool) -> None:
    """Draw how far the levers are that are found by themselves, else the button."""
    found = app_service().follow_up(request, visitor()) if is_new else None
    if found is not None and found.status.is_active:
        _watch(request)
        return
    if found is not None and found.error is not None:
        say.caption("What would make room could not be found. {}", found.error)
    if found is not None and open_run(found.run_id) is not None:
        st.session_state[_key(analysis, request)] = found.run_id
        redraw()
    _draw_button(analysis, request)


@st.fragment(run_every=POLL_SECONDS)
def _watch(request: Request) -> None:
    """Draw how far the levers are until that ends, then draw the whole page once more."""
    with drawing():
        found = app_service().follow_up(request, visitor())
        if found is None or not found.status.is_active:
            redraw()
        say.progress(found.share or 0.0, "{}", _progress_words(found))
        st.button(
            "Stop", key="stop_levers", icon=":material/stop_circle:", on_click=_stop,
            args=(request,),
            help="A button takes its place, which tries the changes when you want them.",
        )  # fmt: skip
        if error := noted_error(_FIND):
            say.error("{}", error)


def _progress_words(found: FollowUp) -> str:
    if found.status is RunStatus.RUNNING:
        return "Trying each change of this training: what it saves, and what it costs."
    return "Each change of this training will be tried as soon as nothing else runs here."


def _stop(request: Request) -> None:
    try:
        app_service().stop_follow_up(request, visitor())
    except MemoryMarkError as error:
        note_error(_FIND, error)


def _run_of(analysis: Analysis, request: Request) -> Run | None:
    """Return the run of the levers: the one started here, else a finished one of the history."""
    key = _key(analysis, request)
    if key not in st.session_state:
        st.session_state[key] = found_levers(app_service().history, request, analysis)
    return open_run(st.session_state[key])


def _key(analysis: Analysis, request: Request) -> str:
    return f"{_RUN}{analysis.run_id}_{request.options.current_batch_size}"


def _draw_button(analysis: Analysis, request: Request) -> None:
    error = noted_error(_FIND)
    if error is not None:
        say.error("{}", error)
    pressed = st.button(
        "Find what would make room",
        icon=":material/tune:",
        help="Simulates each change of this training at its current batch.",
    )
    if pressed:
        _start(analysis, request)
        redraw()  # the error stands beside the button then, or the run in its place


def _start(analysis: Analysis, request: Request) -> None:
    try:
        job = app_service().start(request, visitor())
    except MemoryMarkError as error:
        note_error(_FIND, error)
        return
    st.session_state[_key(analysis, request)] = job.run_id
