"""Small pieces that several pages draw."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from memorymark.report.visible import visible
from memorymark.service.history import Run
from memorymark.ui import say
from memorymark.ui.engine import export_run, request_of
from memorymark.ui.say import plain

_LONGEST_ID = 64


def card(label: str, value: str, told: str, help: str | None = None) -> None:
    """Draw a figure with a note below it."""
    say.metric(label, value, told, help)


def draw_exports(run: Run) -> None:
    """Draw the command that repeats a run, its link and its JSON."""
    request = request_of(run)
    if request is not None:
        st.code(visible(request.command()), language=None, wrap_lines=True)
    st.code(share_link(run.run_id), language=None, wrap_lines=True)
    name = f"{file_name(run.run_id)}.json"
    download("JSON", lambda: export_run(run.run_id), name, "application/json")


def download(label: str, make: Callable[[], str], name: str, mime: str) -> None:
    """Draw a button that makes a file when it is pressed."""
    st.download_button(
        plain(label), make, file_name=name, mime=mime, on_click="ignore", icon=":material/download:"
    )


def file_name(run_id: str) -> str:
    """Return the name of a file about a run, without what a file's name must not hold."""
    return f"memorymark-{re.sub('[^A-Za-z0-9-]', '_', run_id)[:_LONGEST_ID]}"


def share_link(run_id: str) -> str:
    """Return the address under which anybody opens a run."""
    page = urlsplit(st.context.url or "")
    return urlunsplit((page.scheme, page.netloc, page.path or "/", urlencode({"run": run_id}), ""))
