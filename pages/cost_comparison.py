"""What a training run costs at the current and the optimal batch size, and on other GPUs."""

from __future__ import annotations

import streamlit as st

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.request import RequestKind
from memorymark.ui.choices import as_chosen, choices, shown_analysis
from memorymark.ui.comparison_view import draw_comparison, draw_savings
from memorymark.ui.engine import start
from memorymark.ui.frame import need_frame
from memorymark.ui.shown import draw_run, shown_runs
from memorymark.ui.sidebar import draw_plan
from memorymark.ui.training_form import training_form

need_frame()
st.title("Cost comparison", anchor=False)
st.caption("Cost of a training run at the current and optimal batch size, and on other GPUs.")
draw_plan()
analysis = shown_analysis()
if analysis is not None:
    draw_savings(as_chosen(analysis))
else:
    st.info(
        "Run an analysis, or open one on the Runs page, to compare the cost at the current and the "
        "optimal batch size.",
        icon=":material/lightbulb:",
    )
st.subheader("The same training run on every GPU", anchor=False)
asked = training_form("comparison", ["Compare GPUs"])
if asked is not None:
    plan = choices()
    start(
        RequestKind.COMPARISON,
        asked.model,
        asked.config,
        memory_budget=asked.memory_budget,
        options=AnalysisOptions(
            dataset_size=plan.dataset_size, epochs=plan.epochs, runs_per_year=plan.runs_per_year
        ),
    )
shown = shown_runs(RequestKind.COMPARISON)[RequestKind.COMPARISON]
if shown is None:
    st.info(
        "No comparison yet. Compare GPUs simulates this training on every GPU of the catalogue, or "
        "takes a measured run from the history. It takes a few minutes.",
        icon=":material/lightbulb:",
    )
draw_run(shown, draw_comparison)
