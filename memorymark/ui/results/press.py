"""The buttons that start a run, and beside them all that comes of a press.

What is running, how far it is, its end without a result and what went wrong stand here, where one
looks, and not further down among the results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.request import Request, RequestKind
from memorymark.service.history import Run, RunStatus
from memorymark.service.job import Job
from memorymark.service.messages import NO_MEDIA
from memorymark.ui import say
from memorymark.ui.engine import app_service, visitor
from memorymark.ui.kept_runs import note_opened, request_of, show_run
from memorymark.ui.redraw import note_error, noted_error
from memorymark.ui.results.job_view import say_ended, watch
from memorymark.ui.say import plain
from memorymark.ui.setup.current import changed_since, current_setup, write_address

_START = "start"
Reasons = Mapping[str, str]
_NONE: Reasons = {}


def press_area() -> AbstractContextManager[Any]:
    """Return the place of the buttons and what comes of them, which `draw_style` holds in view."""
    return st.container(key="press_area")


def pressed(buttons: Sequence[str], reasons: Reasons = _NONE) -> str | None:
    """Draw the buttons; return the one that was pressed.

    Args:
        buttons: What they say.
        reasons: Why some of them cannot be pressed.
    """
    found = None
    with st.container(horizontal=True, key="press"):
        for button in buttons:
            why = reasons.get(button)
            if st.button(
                plain(button),
                key=f"press_{button}",
                type="primary",
                icon=":material/play_arrow:",
                disabled=why is not None,
                help=None if why is None else plain(why),
            ):
                found = button
    return found


def say_reasons(reasons: Reasons) -> None:
    """Say why some of the buttons cannot be pressed."""
    for button, why in reasons.items():
        say.caption("{}: {}", button, why)


def start(kind: RequestKind, **money: Any) -> None:
    """Start a job for the setup, or join an equal one, and go on to its link."""
    start_as_asked(lambda: (current_setup().request(kind, **money), NO_MEDIA))


def start_as_asked(asked: Callable[[], tuple[Request, Mapping[str, bytes]]]) -> None:
    """Start a job, or join an equal one, and go on to its link.

    Args:
        asked: Returns what is asked for, and what the files hold that it names.
    """

    def start() -> Job:
        request, media = asked()
        more = {"media": media} if media else {}
        return app_service().start(request, visitor(), **more)

    start_job(start)


def start_job(begin: Callable[[], Job]) -> None:
    """Start a job in any way, and go on to its link; what is wrong is said beside the buttons."""
    try:
        job = begin()
    except MemoryMarkError as error:
        note_error(_START, error)
        return
    show_run(job.run_id)
    note_opened(job.run_id)
    write_address()
    st.rerun()


def draw_outcome(runs: Sequence[Run | None]) -> None:
    """Draw what came of a press: an error, the progress of a run, or its end without a result."""
    error = noted_error(_START)
    if error is not None:
        say.error("{}", error)
    for run in runs:
        if run is None:
            continue
        if run.status.is_active:
            watch(run.run_id)
        elif run.status is not RunStatus.DONE and not _changes(run):
            say_ended(run)


def mark_if_stale(run: Run, button: str) -> None:
    """Say which settings differ from those of the result that is shown."""
    found = _changes(run)
    if found and run.run_id == app_service().first_run():
        say.info(
            "This first answer was simulated for you when the app started: {}. Press {} for "
            "your settings.",
            "; ".join(found),
            button,
            icon=":material/lightbulb:",
        )
    elif found:
        say.warning(
            "This result is of other settings: {}. Press {} for these.",
            "; ".join(found),
            button,
            icon=":material/history_toggle_off:",
        )


def _changes(run: Run) -> tuple[str, ...]:
    request = request_of(run)
    return () if request is None else changed_since(request)
