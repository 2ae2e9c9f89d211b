"""A queued or running run: phases, progress, the live log, cancel."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.event import GPUS_DONE, Event, EventKind
from memorymark.records.request import RequestKind
from memorymark.report.settings_phrase import join_settings, kept_phrase
from memorymark.report.visible import visible
from memorymark.service.history import Run, RunStatus
from memorymark.service.job import Job
from memorymark.service.training_admission import TRAININGS
from memorymark.ui import say
from memorymark.ui.engine import app_service, visitor
from memorymark.ui.kept_runs import events_of, open_run
from memorymark.ui.redraw import note_error, noted_error, redraw
from memorymark.ui.say import plain
from memorymark.ui.slots import drawing
from memorymark.units import clock, seconds

POLL_SECONDS = 1.0
_LOG_LINES = 300
_PHASES = 5
_STOP = ":material/stop_circle:"
_AFTER_CANCEL = "Start it again, or change the settings first."
_FOUND = (EventKind.NOTE, EventKind.TRIAL_FINISHED, EventKind.STEP)
_STOPS = (RequestKind.GENERATE, *TRAININGS)  # what it has by then is a result


@st.fragment(run_every=POLL_SECONDS)
def watch(run_id: str) -> None:
    """Draw how far a run is until it ends, then draw the whole page once more."""
    with drawing():
        _draw_active(run_id)


@st.fragment(run_every=POLL_SECONDS)
def watch_log(run_id: str) -> None:
    """Draw the phases and the log of an active run."""
    with drawing():
        job = app_service().jobs.get(run_id)
        events = events_of(run_id)
        draw_phases(events, RunStatus.RUNNING if job is None else job.status)
        draw_log(events, run_id)


def _draw_active(run_id: str) -> None:
    job = app_service().jobs.get(run_id)
    run = open_run(run_id) if job is None else None
    status = job.status if job else (run.status if run else None)
    if status is None or not status.is_active:
        redraw()
    say.line("**{}**", _headline(job) if job else _elsewhere(run))
    say.progress((job.share if job else None) or 0.0, "{}", time_left_words(job))
    if job is None:
        return
    if found := newest_finding(job):
        say.caption("So far: {}", found)
    is_ending = job.token.cancelled
    stops = job.kind in _STOPS
    st.button(
        plain(_ending_words(job)) if is_ending else ("Stop" if stops else "Cancel"),
        key=f"cancel_{run_id}",
        icon=_STOP,
        disabled=is_ending,
        help="What was found so far is kept.",
        on_click=_cancel,
        args=(run_id,),
    )
    if error := noted_error(run_id):
        say.error("{}", error)


def _ending_words(job: Job) -> str:
    return "Saving…" if job.kind in TRAININGS else "Cancelling…"


def say_ended(run: Run) -> None:
    """Say how a run ended that did not come to its end, what it was of, and what to do next."""
    cancelled = "before it had a result" if run.record is None else "and what it had is below"
    words = {
        RunStatus.FAILED: "This run failed",
        RunStatus.CANCELLED: f"This run was cancelled {cancelled}",
        RunStatus.INTERRUPTED: "This run was interrupted",
        RunStatus.UNKNOWN: "This version does not know how this run ended",
    }
    draw = say.error if run.status is RunStatus.FAILED else say.warning
    then = _AFTER_CANCEL if run.status is RunStatus.CANCELLED else run.error or ""
    draw("{}: {}. {}", words[run.status], _asked_words(run), then, icon=":material/error:")


def _asked_words(run: Run) -> str:
    """Name what a run without a result was of: model, target and settings."""
    parts = run.model or "an unknown model", run.device or "", kept_phrase(run.request)
    return visible(join_settings(parts))


def draw_kept_log(run: Run) -> None:
    """Show the log of a run that ended without a result, where there is one."""
    events = events_of(run.run_id)
    if events:
        draw_log(events, run.run_id)


def draw_phases(events: Sequence[Event], status: RunStatus) -> None:
    """Draw the phases that have begun as a timeline, and of several GPUs how many are done."""
    started = [event for event in events if event.kind is EventKind.PHASE]
    shown, done = started[-_PHASES:], gpus_done(events)
    if done is not None:
        say.caption("{}.", done)
    elif len(started) > len(shown):
        say.caption("{:,} earlier phases are in the log below.", len(started) - len(shown))
    for number, event in enumerate(shown):
        is_last = number == len(shown) - 1
        say.step("{}", event.text, is_running=is_last and status is RunStatus.RUNNING)


def gpus_done(events: Sequence[Event]) -> str | None:
    """Return how many GPUs of a comparison are done, as in "7 of 21 GPUs done"."""
    return next((event.text for event in reversed(events) if event.phase == GPUS_DONE), None)


def draw_log(events: Sequence[Event], run_id: str) -> None:
    """Draw the engine's own events as a terminal does."""
    said = [event for event in events if event.kind is not EventKind.TEXT]
    lines = [_line(event) for event in said[-_LOG_LINES:]]
    with st.container(height=260, autoscroll=True, key=f"log_{run_id}"):
        st.code("\n".join(lines) or "Loading the model…", language=None, wrap_lines=True)


def queue_words(job: Job) -> str:
    """Say what a waiting job waits for."""
    ahead = app_service().jobs.ahead_of(job)
    if not ahead:
        return f"Waiting for {device_words(job.device)}."
    left = ahead[0].left_seconds
    about = "" if left is None else f", about {seconds(round(left))} left"
    place = "yours is next" if len(ahead) == 1 else f"{len(ahead) - 1} more before yours"
    return f"{device_words(job.device)} is busy with run {ahead[0].run_id}{about}; {place}."


def device_words(lock_name: str) -> str:
    """Return what people call the device of a lock."""
    kind, _, number = lock_name.partition(":")
    named = {"cuda": f"GPU {number}", "mps": "the GPU", "cpu": "the CPU"}
    return named.get(kind, "the simulator")


def _headline(job: Job) -> str:
    what = f"Run {job.run_id}: {job.kind} of {job.request.get('model')}"
    if job.status is RunStatus.QUEUED:
        return f"{what}. {queue_words(job)}"
    return f"{what} on {device_words(job.device)}, {seconds(round(job.elapsed_seconds))} elapsed"


def newest_finding(job: Job) -> str | None:
    """Return what the engine last found out, as in "Simulated, about 496 fit; …"."""
    found = (event.text for event in reversed(list(job.events)) if event.kind in _FOUND)
    text = next(found, None)
    return None if text is None else visible(text)


def _elsewhere(run: Run | None) -> str:
    name = run.run_id if run else ""
    return f"Run {name} is running in another process on this machine."


def time_left_words(job: Job | None) -> str:
    """Say how long a job will take; nothing is known of one that is none of this server's."""
    left = None if job is None else job.left_seconds
    if left is None:
        return "Remaining time unknown"
    return f"About {seconds(round(left))} left" if left >= 1 else "Almost done"


def _line(event: Event) -> str:
    return f"{clock(event.at)}  {visible(event.text)}"


def _cancel(run_id: str) -> None:
    try:
        app_service().cancel(run_id, visitor())
    except MemoryMarkError as error:
        note_error(run_id, error)
