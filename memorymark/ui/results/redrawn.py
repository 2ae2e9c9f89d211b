"""An analysis worked out anew for the current batch and costs, from the trials that exist.

Where they say nothing of the batch, one more of them is simulated: outside of them, and between
them too where the whole analysis is a simulation. It is what the memory bar asks for as well, so
that both say the same. Between measured trials figures are interpolated: nobody pressed for
another measurement, and a simulated one would be of another kind.
"""

from __future__ import annotations

import streamlit as st

from memorymark.analysis.marks import with_options
from memorymark.records.analysis import Analysis
from memorymark.records.request import Request, RequestKind
from memorymark.records.trial import Source
from memorymark.service.estimates import Answer
from memorymark.ui import say
from memorymark.ui.engine import app_service, visitor
from memorymark.ui.redraw import redraw
from memorymark.ui.setup.choices import values_on
from memorymark.ui.setup.targets import target_of_result

_POLL_SECONDS = 0.5


def as_chosen(analysis: Analysis, asked: Request | None = None) -> Analysis:
    """Work out an analysis for what the visitor chose; as it is where nothing differs.

    Args:
        analysis: The analysis.
        asked: What it was asked for, where that is known.
    """
    values = values_on(target_of_result(analysis.target))
    changed = {
        name: value for name, value in values.items() if value != getattr(analysis.options, name)
    }
    redrawn = with_options(analysis, **changed) if changed else analysis
    answer = _answer(redrawn, asked) if _can_be_simulated(redrawn) else None
    if answer is None or answer.trial is None:
        return redrawn
    return with_options(analysis, supplied=answer.trial, **changed)


def wait_for_estimate(analysis: Analysis, asked: Request | None = None) -> None:
    """Say that a simulation is on its way, and draw the page once more when it is there.

    Args:
        analysis: The analysis as `as_chosen` returned it.
        asked: What it was asked for, where that is known.
    """
    if _can_be_simulated(analysis) and _answer(analysis, asked) is None:
        _watch(analysis, asked)


@st.fragment(run_every=_POLL_SECONDS)
def _watch(analysis: Analysis, asked: Request | None) -> None:
    if _answer(analysis, asked) is not None:
        redraw()
    current = analysis.current
    until = " Until that is done, its figures are interpolated." if current.interpolated else ""
    say.caption("Simulating batch {:,}, which was not tried …{}", current.batch_size, until)


def _can_be_simulated(analysis: Analysis) -> bool:
    """Whether a simulation can say more of the current batch than the trials do."""
    current = analysis.current
    if analysis.target.gpu_key is None or current.trial is not None:
        return False
    return current.memory_bytes is None or analysis.target.source is Source.SIMULATED


def simulated_request(analysis: Analysis, asked: Request | None = None) -> Request:
    """Return what the simulation of another batch is asked for: the run's training and memory.

    Args:
        analysis: The analysis.
        asked: What it was asked for: the memory bar's question is the same as long as the setup is.
    """
    is_simulated = analysis.target.source is Source.SIMULATED
    return Request(
        RequestKind.ANALYSIS,
        analysis.workload if asked is None else asked.model,
        analysis.config if asked is None else asked.config,
        gpu=analysis.target.gpu_key,
        memory_budget=asked.memory_budget if asked and is_simulated else analysis.capacity_bytes,
    )


def _answer(analysis: Analysis, asked: Request | None) -> Answer | None:
    request = simulated_request(analysis, asked)
    return app_service().estimate(request, analysis.current.batch_size, visitor())
