"""How large the batch can be, where the memory goes, what the difference is worth."""

from __future__ import annotations

import streamlit as st

from memorymark.requests import Request, RequestKind
from ui.choices import as_chosen, choices
from ui.engine import analysis_of, start
from ui.frame import need_frame
from ui.progress import draw_ended, watch
from ui.results import draw_analysis, draw_evidence
from ui.shown import shown_run
from ui.targets import chosen_target
from ui.training_form import analysis_options, training_form

need_frame()
st.title("Analysis", anchor=False)
st.caption("How large the training batch can be, where the memory goes, what more is worth.")
asked = training_form("analysis", "Analyze", analysis_options)
if asked is not None:
    options = {**choices().to_options(), **asked.options}
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

run = shown_run(RequestKind.ANALYSIS)
if run is None:
    st.info(
        "No analysis is shown yet. Press Analyze to try the settings above on the target in the "
        "sidebar, or open an earlier run on the page Runs.",
        icon=":material/lightbulb:",
    )
elif run.status.is_active:
    watch(run.run_id)
elif run.record is None:
    draw_ended(run)
else:
    analysis = as_chosen(analysis_of(run.run_id))
    draw_analysis(analysis)
    draw_evidence(analysis, Request.from_dict(run.request) if run.request else None, run.record)
