"""The curves of trainings: the loss over steps or seconds, beside that of another run."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.request import RequestKind
from memorymark.records.training_comparison import TrainingComparison
from memorymark.records.training_run import TrainingRun
from memorymark.report.charts.training_charts import (
    Curve,
    Over,
    loss_curves,
    training_memory,
    training_throughput,
)
from memorymark.report.visible import visible
from memorymark.service.history import Run, RunStatus
from memorymark.service.training_admission import TRAININGS
from memorymark.ui.charting import draw_spec
from memorymark.ui.engine import app_service
from memorymark.ui.kept_runs import open_run
from memorymark.ui.say import plain
from memorymark.units import local_time

_MOST_OTHERS = 50
_NONE = ""


def draw_losses(run_id: str, curves: Sequence[Curve], name: str = "") -> None:
    """Draw losses over steps or seconds, with those of another run where one is chosen.

    Args:
        run_id: The run that is shown.
        curves: What it has, without a name where it stands alone.
        name: What it is called where another one is drawn with it.
    """
    st.subheader("Loss", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        over = st.segmented_control(
            "Over", list(Over), default=Over.STEPS, key=f"over_{run_id}", required=True
        )
        other = _chosen_other(run_id)
    if other:
        curves = [*(each._replace(name=each.name or name) for each in curves), *other]
    draw_spec(loss_curves(curves, Over(over or Over.STEPS)), f"losses_{run_id}")
    if over == Over.SECONDS:
        st.caption("Seconds of the steps: evaluations and checkpoints are left out.")


def draw_memory_and_speed(run: TrainingRun, run_id: str) -> None:
    """Draw the memory of each step against the budget, and the throughput."""
    with st.grid(2, min_column_width=300):
        with st.container():
            st.subheader("Memory", anchor=False)
            draw_spec(training_memory(run), f"memory_{run_id}")
        with st.container():
            st.subheader("Throughput", anchor=False)
            draw_spec(training_throughput(run), f"speed_{run_id}")


def run_name(run: Run) -> str:
    """Return what a run is called among others: its id and its model."""
    return visible(f"{run.run_id} {run.model or ''}".strip())


def _chosen_other(run_id: str) -> list[Curve]:
    """Draw the choice of another training; return its curves, or both of a comparison."""
    names = {_NONE: "none", **_others(run_id)}
    if len(names) == 1:
        return []
    chosen = st.selectbox(
        "Beside it", list(names), key=f"beside_{run_id}",
        format_func=lambda each: plain(names.get(each, each)),
        help="The curves of another training, in the same chart.",
    )  # fmt: skip
    run = open_run(chosen) if chosen else None
    if run is None or run.record is None:
        return []
    try:
        return _curves_of(run)
    except MemoryMarkError:
        return []  # its own page says what is wrong with it


def _others(run_id: str) -> dict[str, str]:
    kinds = [str(kind) for kind in TRAININGS]
    ended = (RunStatus.DONE, RunStatus.CANCELLED, RunStatus.FAILED)
    found = app_service().history.find(kinds=kinds, statuses=ended, limit=_MOST_OTHERS)
    return {
        run.run_id: f"{run_name(run)} · {_moment(run)}" for run in found if run.run_id != run_id
    }


def _moment(run: Run) -> str:
    when = local_time(run.created_at)
    return "" if when is None else f"{when:%Y-%m-%d %H:%M}"


def _curves_of(run: Run) -> list[Curve]:
    if run.kind == RequestKind.COMPARE_TRAINING:
        found = TrainingComparison.from_dict(run.record or {})
        return [Curve(visible(f"{run.run_id} {each.model}"), each) for each in found.runs]
    return [Curve(run_name(run), TrainingRun.from_dict(run.record or {}))]
