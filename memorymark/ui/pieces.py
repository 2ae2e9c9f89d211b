"""Small pieces that several pages draw."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import streamlit as st

from memorymark.service.history import Run
from memorymark.ui.engine import export_run, request_of


def card(label: str, value: str, told: str, help: str | None = None) -> None:
    """Draw a figure with a note below it."""
    st.metric(label, value, told, delta_color="off", delta_arrow="off", border=True, help=help)


def draw_exports(run: Run) -> None:
    """Draw the command that repeats a run, its link and its JSON."""
    request = request_of(run)
    if request is not None:
        st.code(request.command(), language="shell", wrap_lines=True)
    st.code(share_link(run.run_id), language=None, wrap_lines=True)
    name = f"memorymark-{run.run_id}.json"
    download("JSON", lambda: export_run(run.run_id), name, "application/json")


def download(label: str, make: Callable[[], str], name: str, mime: str) -> None:
    """Draw a button that makes a file when it is pressed."""
    st.download_button(
        label, make, file_name=name, mime=mime, on_click="ignore", icon=":material/download:"
    )


def share_link(run_id: str) -> str:
    """Return the address under which anybody opens a run."""
    page = urlsplit(st.context.url or "")
    return urlunsplit((page.scheme, page.netloc, page.path or "/", f"run={run_id}", ""))
