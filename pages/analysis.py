"""The max and the optimal batch size, the memory breakdown, the savings."""

from __future__ import annotations

import streamlit as st

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.request import RequestKind
from memorymark.service.history import Run
from memorymark.ui.analysis_view import draw_analysis, draw_evidence
from memorymark.ui.choices import as_chosen, options_to_ask, wait_for_estimate
from memorymark.ui.engine import analysis_of, request_of, start
from memorymark.ui.frame import need_frame
from memorymark.ui.shown import draw_run, shown_runs
from memorymark.ui.targets import chosen_target
from memorymark.ui.training_form import analysis_options, training_form


def draw_result(run: Run) -> None:
    analysis = as_chosen(analysis_of(run.run_id))
    wait_for_estimate(analysis)
    request = request_of(run)
    draw_analysis(analysis, request.memory_budget if request else None)
    draw_evidence(analysis, request)


need_frame()
st.title("Analysis", anchor=False)
st.caption("Finds the max and the optimal batch size, and shows where the memory goes.")
asked = training_form("analysis", ["Analyze"], analysis_options)
if asked is not None:
    start(
        RequestKind.ANALYSIS,
        asked.model,
        asked.config,
        memory_budget=asked.memory_budget,
        options=AnalysisOptions(**options_to_ask(), **asked.options),
        **chosen_target(),
    )
shown = shown_runs(RequestKind.ANALYSIS)[RequestKind.ANALYSIS]
if shown is None:
    st.info(
        "No analysis yet. Press Analyze to run one with these settings on the target in the "
        "sidebar, or open an earlier run on the Runs page.",
        icon=":material/lightbulb:",
    )
draw_run(shown, draw_result)
