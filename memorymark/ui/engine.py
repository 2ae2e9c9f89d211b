"""The app's access to the engine, and who the visitor is."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import AsyncIterator

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.service.access import AppService
from memorymark.service.guard import Visitor
from memorymark.service.sign_in import check_sign_in
from memorymark.settings import load_settings
from memorymark.ui import say


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
