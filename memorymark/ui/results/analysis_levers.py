"""What would make room, below an analysis: its levers, found when somebody asks for them.

Trying them takes several times as long as the analysis itself. So they are a job of their own, for
the very training and card of the analysis; a finished one is shown at once.
"""

from __future__ import annotations

import dataclasses

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.analysis import Analysis
from memorymark.records.lever import LeverReport
from memorymark.records.request import LEVERED, Request, RequestKind
from memorymark.service.first_run import same_request_run
from memorymark.service.history import Run, RunStatus
from memorymark.ui import say
from memorymark.ui.engine import app_service, visitor
from memorymark.ui.kept_runs import open_run
from memorymark.ui.redraw import note_error, noted_error, redraw
from memorymark.ui.results.job_view import say_ended, watch
from memorymark.ui.results.levers_view import draw_lever_rows, draw_notes

_RUN = "levers_of_"  # and the id of an analysis: the run of its levers
_FIND = "levers"  # what its errors are noted under


def draw_analysis_levers(analysis: Analysis, asked: Request | None) -> None:
    """Draw the levers of an analysis, or the button that finds them."""
    request = levers_request(analysis, asked)
    if request is None:
        return
    st.subheader("What would make room", anchor=False)
    run = _run_of(analysis, request)
    if run is not None and run.status.is_active:
        watch(run.run_id)
    elif run is not None and run.record is not None:
        _draw_found(run)
    else:
        if run is not None and run.status is not RunStatus.DONE:
            say_ended(run)
        _draw_button(analysis, request)


def levers_request(analysis: Analysis, asked: Request | None) -> Request | None:
    """Return what the levers of an analysis are asked for; None where nothing can simulate them."""
    target = analysis.target
    if target.gpu_key is None:
        return None
    options = {name: getattr(analysis.options, name) for name in LEVERED}
    config = asked.config if asked is not None else analysis.config
    budget = asked.memory_budget if asked is not None else target.memory_budget_bytes
    return Request(
        RequestKind.LEVERS,
        analysis.workload,
        config,
        gpu=target.gpu_key,
        memory_budget=budget,
        options=dataclasses.replace(type(analysis.options)(), **options),
    )


def _draw_found(run: Run) -> None:
    try:
        report = LeverReport.from_dict(run.record or {})
    except MemoryMarkError as error:
        say.error("{}", error)
        return
    draw_lever_rows(report)
    draw_notes(report)
    say.caption("Simulated at batch size {}; run {}.", report.batch_size, run.run_id)


def _run_of(analysis: Analysis, request: Request) -> Run | None:
    """Return the run of the levers: the one started here, else a finished one of the history."""
    key = f"{_RUN}{analysis.run_id}_{request.options.current_batch_size}"
    if key not in st.session_state:
        st.session_state[key] = same_request_run(app_service().history, request)
    return open_run(st.session_state[key])


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
    key = f"{_RUN}{analysis.run_id}_{request.options.current_batch_size}"
    st.session_state[key] = job.run_id
