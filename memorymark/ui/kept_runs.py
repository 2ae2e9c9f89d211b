"""The runs of the history as pages open them, and which one the address of a page names."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.analysis import Analysis
from memorymark.records.event import Event
from memorymark.records.request import Request
from memorymark.service.history import Run
from memorymark.ui.engine import app_service

RUN_PARAMETER = "run"
_OPENED = "opened_run"


def show_run(run_id: str | None) -> None:
    """Make a run the one that this page shows and that its address names."""
    if run_id is None:
        st.query_params.pop(RUN_PARAMETER, None)
    else:
        st.query_params[RUN_PARAMETER] = run_id


def note_opened(run_id: str | None) -> bool:
    """Say whether a run is opened now, and not shown again or still."""
    is_new = run_id is not None and st.session_state.get(_OPENED) != run_id
    if run_id is not None:
        st.session_state[_OPENED] = run_id
    return is_new


def forget_opened() -> None:
    """Let the next run be opened anew, even if it was the last."""
    st.session_state.pop(_OPENED, None)


def open_run(run_id: str | None) -> Run | None:
    """Return a run of the history, without its record where that is damaged; None for no run."""
    history = app_service().history
    for read in (history.open, history.summary) if run_id else ():
        with contextlib.suppress(MemoryMarkError):
            return read(run_id)
    return None


def why_missing(run_id: str) -> str:
    """Say why a run cannot be opened: unknown, deleted, or the history cannot be read."""
    try:
        app_service().history.summary(run_id)
    except MemoryMarkError as error:
        return str(error)
    return f"Run {run_id} has just come. Reload the page."


@st.cache_resource(show_spinner=False, max_entries=32)
def analysis_of(run_id: str) -> Analysis:
    """Return the analysis of a finished run.

    Raises:
        MemoryMarkError: What is kept of it is damaged.
    """
    return Analysis.from_dict(app_service().history.open(run_id).record or {})


def events_of(run_id: str) -> Sequence[Event]:
    """Return what the engine said: from the job while this server has it, else from disk."""
    job = app_service().jobs.get(run_id)
    if job is not None:
        return tuple(job.events)
    found = []
    for event in app_service().history.events(run_id):
        with contextlib.suppress(MemoryMarkError):  # a damaged event is passed over
            found.append(Event.from_dict(event))
    return found


def request_of(run: Run) -> Request | None:
    """Return what a run was asked for, with the target it was on; None where that is not known."""
    try:
        request = Request.from_dict(run.request) if run.request else None
        if request is None or request.device or request.gpu:
            return request
        return dataclasses.replace(request, **_target_fields(run.record))
    except MemoryMarkError:
        return None


def request_of_analysis(analysis: Analysis) -> Request | None:
    """Return what the run of an analysis was asked for; None where that is not known."""
    run = open_run(analysis.run_id)
    return None if run is None else request_of(run)


def _target_fields(record: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the target of a record as fields of a request; none where it has no single one."""
    target = (record or {}).get("target")
    match target:
        case {"source": "simulated", "gpu_key": str(key)}:
            return {"gpu": key}
        case {"kind": "cuda", "index": int(number)}:
            return {"device": f"cuda:{number}"}
        case {"kind": "cpu" | "mps" as kind}:
            return {"device": kind}
    return {}


def export_run(run_id: str) -> str:
    """Return a run's record as a JSON document."""
    return app_service().history.export(run_id)
