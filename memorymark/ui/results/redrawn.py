"""An analysis worked out anew for the current batch and costs, from the trials that exist.

Where the batch lies outside of them, one more of them is simulated.
"""

from __future__ import annotations

import streamlit as st

from memorymark.analysis.marks import with_options
from memorymark.records.analysis import Analysis
from memorymark.records.request import Request, RequestKind
from memorymark.service.estimates import Answer
from memorymark.ui import say
from memorymark.ui.engine import app_service, visitor
from memorymark.ui.redraw import redraw
from memorymark.ui.setup.choices import values_on
from memorymark.ui.setup.targets import target_of_result

_POLL_SECONDS = 0.5


def as_chosen(analysis: Analysis) -> Analysis:
    """Work out an analysis for what the visitor chose; as it is where nothing differs."""
    values = values_on(target_of_result(analysis.target))
    changed = {
        name: value for name, value in values.items() if value != getattr(analysis.options, name)
    }
    redrawn = with_options(analysis, **changed) if changed else analysis
    answer = _answer(redrawn) if _is_outside(redrawn) else None
    if answer is None or answer.trial is None:
        return redrawn
    return with_options(analysis, supplied=answer.trial, **changed)


def wait_for_estimate(analysis: Analysis) -> None:
    """Say that a simulation is on its way, and draw the page once more when it is there.

    Args:
        analysis: The analysis as `as_chosen` returned it.
    """
    if _is_outside(analysis) and _answer(analysis) is None:
        _watch(analysis)


@st.fragment(run_every=_POLL_SECONDS)
def _watch(analysis: Analysis) -> None:
    if _answer(analysis) is not None:
        redraw()
    say.caption(
        "Simulating batch size {:,}, outside the range tried …", analysis.current.batch_size
    )


def _is_outside(analysis: Analysis) -> bool:
    """Whether nothing is known of the current batch, and a simulation can tell."""
    current, is_simulable = analysis.current, analysis.target.gpu_key is not None
    return is_simulable and current.memory_bytes is None and current.trial is None


def outside_request(analysis: Analysis) -> Request:
    """Return what the simulation of another batch is asked for: the run's training and memory."""
    return Request(
        RequestKind.ANALYSIS,
        analysis.workload,
        analysis.config,
        gpu=analysis.target.gpu_key,
        memory_budget=analysis.capacity_bytes,
    )


def _answer(analysis: Analysis) -> Answer | None:
    return app_service().estimate(outside_request(analysis), analysis.current.batch_size, visitor())
