"""How large the batch can be, where the memory goes, what the difference is worth."""

from __future__ import annotations

import streamlit as st

from memorymark.requests import Request, RequestKind
from memorymark.runs import Run
from ui.choices import as_chosen, options_to_ask
from ui.engine import analysis_of, request_of, start
from ui.frame import need_frame
from ui.outside import wait_for_estimate
from ui.results import draw_analysis, draw_evidence
from ui.shown import draw_run, shown_runs
from ui.targets import chosen_target
from ui.training_form import analysis_options, training_form


def draw_result(run: Run) -> None:
    analysis = as_chosen(analysis_of(run.run_id))
    wait_for_estimate(analysis)
    draw_analysis(analysis)
    draw_evidence(analysis, request_of(run))


need_frame()
st.title("Analysis", anchor=False)
st.caption("How large the training batch can be, where the memory goes, what more is worth.")
asked = training_form("analysis", ["Analyze"], analysis_options)
if asked is not None:
    options = {**options_to_ask(), **asked.options}
    start(
        Request(
            RequestKind.ANALYSIS,
            asked.model,
            asked.config,
            memory_budget=asked.memory_budget,
            options=options,
            **chosen_target(),
        )
    )
shown = shown_runs(RequestKind.ANALYSIS)[RequestKind.ANALYSIS]
if shown is None:
    st.info(
        "No analysis is shown yet. Press Analyze to try the settings above on the target in the "
        "sidebar, or open an earlier run on the page Runs.",
        icon=":material/lightbulb:",
    )
draw_run(shown, draw_result)
