"""The max and the optimal batch size, the memory breakdown, the savings."""

from __future__ import annotations

import streamlit as st

from memorymark.records.request import RequestKind
from memorymark.service.history import Run
from memorymark.ui.analysis_view import draw_analysis, draw_evidence
from memorymark.ui.choices import as_chosen, options_to_ask, wait_for_estimate
from memorymark.ui.engine import analysis_of, request_of
from memorymark.ui.frame import need_frame
from memorymark.ui.press import draw_outcome, press_area, pressed, start
from memorymark.ui.setup_fields import draw_setup
from memorymark.ui.shown import draw_run, shown_runs

ANALYZE = "Analyze"


def draw_result(run: Run) -> None:
    analysis = as_chosen(analysis_of(run.run_id))
    wait_for_estimate(analysis)
    request = request_of(run)
    draw_analysis(analysis, request)
    draw_evidence(analysis, request)


need_frame()
st.title("Analysis", anchor=False)
st.markdown(
    "Find the largest batch that fits your GPU, what fills its memory, and what a bigger batch "
    "saves."
)
draw_setup()
with press_area():
    if pressed([ANALYZE]):
        start(RequestKind.ANALYSIS, **options_to_ask())
    shown = shown_runs(RequestKind.ANALYSIS)[RequestKind.ANALYSIS]
    draw_outcome([shown])
if shown is None:
    st.caption("No result of these settings yet. Press Analyze to search for the largest batch.")
draw_run(shown, draw_result, ANALYZE)
