"""A training while it runs: loss, memory and throughput so far, samples, phases before."""

from __future__ import annotations

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.training_run import TrainingRun
from memorymark.report.charts.training_charts import Curve
from memorymark.report.visible import visible_text
from memorymark.service.job import Job
from memorymark.ui.engine import app_service
from memorymark.ui.kept_runs import events_of
from memorymark.ui.pieces import card
from memorymark.ui.results.job_view import draw_log
from memorymark.ui.results.training_curves import draw_losses, draw_memory_and_speed
from memorymark.ui.say import plain
from memorymark.ui.slots import drawing
from memorymark.units import UNKNOWN, count, mib_or_gib, rate, seconds

_POLL_SECONDS = 1.5


@st.fragment(run_every=_POLL_SECONDS)
def watch_training(run_id: str) -> None:
    """Draw what an active training has come to so far, and its log."""
    with drawing():
        job = app_service().jobs.get(run_id)
        run = None if job is None else _known(job)
        if run is not None and run.curve:
            _draw_live(run)
            draw_losses(run_id, [Curve("", run)], f"{run_id} {run.model}")
            draw_memory_and_speed(run, run_id)
            draw_samples(run)
        st.subheader("Log", anchor=False)
        draw_log(events_of(run_id), run_id)


def draw_samples(run: TrainingRun) -> None:
    """Draw what the model wrote at its evaluations, the newest open."""
    written = [each for each in run.evaluations if each.sample]
    if not written:
        return
    st.subheader("Samples", anchor=False)
    for number, each in enumerate(reversed(written)):
        label = f"After step {each.step:,}, evaluation loss {each.loss:.4f}"
        with st.expander(plain(label), expanded=number == 0):
            st.code(visible_text(each.sample or ""), language=None, wrap_lines=True)


def _known(job: Job) -> TrainingRun | None:
    """Return what is known of a training; None before its first step."""
    try:
        return None if job.known is None else TrainingRun.from_dict(job.known)
    except MemoryMarkError:
        return None


def _draw_live(run: TrainingRun) -> None:
    """Draw the figures of a training that is not at its end."""
    last = run.curve[-1]
    unit = "Samples/s" if run.tokens is None else "Tokens/s"
    total = "" if run.total_steps is None else f"of {count(run.total_steps)}"
    best = "" if run.best_eval_loss is None else f"best: {run.best_eval_loss:.4f}"
    budget = run.memory_budget_bytes
    told = "measured" if budget is None else f"measured, of {mib_or_gib(budget)}"
    with st.grid(3, min_column_width=150):
        card("Steps", count(run.steps), total or "until the time is used up")
        card("Training loss", f"{last.loss:.4f}", "of the last step")
        card("Evaluation loss", _loss(run.eval_loss), best or "none yet")
        card(unit, rate(last.per_second), "measured, in the last step")
        card("Memory", mib_or_gib(last.memory_bytes), told)
        card("Trained for", seconds(run.seconds), _time_told(run))


def _loss(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4f}"


def _time_told(run: TrainingRun) -> str:
    budget = run.plan.time_budget
    return "without a limit" if budget is None else f"time budget: {seconds(budget)}"
