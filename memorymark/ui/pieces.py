"""Small pieces that several pages draw."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from memorymark.report.visible import visible
from memorymark.ui import say
from memorymark.ui.say import plain

_LONGEST_ID = 64
_NOTHING: Mapping[str, str] = MappingProxyType({})


def card(label: str, value: str, told: str, help: str | None = None) -> None:
    """Draw a figure with a note below it."""
    say.metric(label, value, told, help)


class File(NamedTuple):
    """A file about a run.

    Attributes:
        label: What its button says.
        make: Makes its text.
        ending: How its name ends, as in "json" or "trainer.py".
    """

    label: str
    make: Callable[[], str]
    ending: str


_KINDS = {"json": "application/json", "csv": "text/csv", "txt": "text/plain", "py": "text/x-python"}


def draw_exports(
    run_id: str, command: str | None, files: Sequence[File], carried: Mapping[str, str]
) -> None:
    """Draw the command that gives what is shown, its link and its files.

    Args:
        run_id: The run.
        command: The command line; None where it is not known.
        files: The files.
        carried: What the link carries beside the run.
    """
    st.subheader("Export", anchor=False)
    if command is not None:
        st.caption("Command line")
        st.code(visible(command), language=None, wrap_lines=True)
    st.caption("Link to what is shown")
    st.code(share_link(run_id, carried), language=None, wrap_lines=True)
    with st.container(horizontal=True):
        for file in files:
            name = f"{file_name(run_id)}.{file.ending}"
            download(file.label, file.make, name, _KINDS[file.ending.rpartition(".")[2]])


def download(label: str, make: Callable[[], str], name: str, mime: str) -> None:
    """Draw a button that makes a file when it is pressed."""
    st.download_button(
        plain(label), make, file_name=name, mime=mime, on_click="ignore", icon=":material/download:"
    )


def file_name(run_id: str) -> str:
    """Return the name of a file about a run, without what a file's name must not hold."""
    return f"memorymark-{re.sub('[^A-Za-z0-9-]', '_', run_id)[:_LONGEST_ID]}"


def share_link(run_id: str, carried: Mapping[str, str] = _NOTHING) -> str:
    """Return the address under which anybody opens a run, and sees what it carries."""
    page = urlsplit(st.context.url or "")
    said = urlencode({"run": run_id, **carried})
    return urlunsplit((page.scheme, page.netloc, page.path or "/", said, ""))
