"""The app's access to the engine, and who the visitor is."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.analysis import Analysis
from memorymark.records.event import Event
from memorymark.records.request import Request
from memorymark.service.access import AppService, Visitor
from memorymark.service.history import Run
from memorymark.service.sign_in import check_sign_in
from memorymark.settings import load_settings
from memorymark.ui import say

RUN_PARAMETER = "run"


@st.cache_resource(show_spinner=False, on_release=lambda service: service.close())
def app_service() -> AppService:
    """Return the service that all visitors of this server share."""
    return AppService(load_settings())


@contextlib.asynccontextmanager
async def beginning(_: object) -> AsyncIterator[None]:
    """Get ready as soon as the server starts, beside its start and its first page."""
    threading.Thread(target=_begin, name="memorymark-begin", daemon=True).start()
    yield


def _begin() -> None:
    with contextlib.suppress(MemoryMarkError):  # wrong settings: each page says so
        app_service().begin()


def visitor() -> Visitor:
    """Say who visits: the signed-in address, the run key that was given, and from where."""
    return Visitor(
        user=signed_in_address(),
        run_key=st.session_state.get("given_run_key") or None,
        address=st.context.ip_address,
        session=st.session_state.setdefault("session_name", secrets.token_hex(8)),
    )


def signed_in_address() -> str | None:
    """Return the address of who is signed in, unless the sign-in's provider did not verify it."""
    is_verified = str(st.user.get("email_verified", True)).lower() == "true"
    return st.user.get("email") if st.user.get("is_logged_in") and is_verified else None


def may_start() -> bool:
    """Say whether the visitor was let pass; what is asked here is no guess of the run key."""
    return app_service().may_start(visitor())


def need_settings() -> None:
    """Draw nothing but a sentence where the owner's settings are wrong: nobody starts anything."""
    try:
        load_settings()
    except MemoryMarkError as error:
        say.error("{}", error)
        st.stop()


def sign_in_problem() -> str | None:
    """Return why nobody can sign in, where nobody can."""
    try:
        has_section = "auth" in st.secrets
    except FileNotFoundError:  # there are no secrets
        has_section = False
    try:
        check_sign_in(has_section)
    except MemoryMarkError as error:
        return str(error)
    return None


def show_run(run_id: str | None) -> None:
    """Make a run the one that this page shows and that its address names."""
    if run_id is None:
        st.query_params.pop(RUN_PARAMETER, None)
    else:
        st.query_params[RUN_PARAMETER] = run_id


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
