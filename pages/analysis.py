"""What fits, the recommended batch, what fills the memory, and what a change saves."""

from __future__ import annotations

import streamlit as st

from memorymark.records.request import RequestKind
from memorymark.service.history import Run
from memorymark.ui.frame import need_frame
from memorymark.ui.kept_runs import analysis_of, request_of
from memorymark.ui.results.analysis_levers import draw_analysis_levers
from memorymark.ui.results.analysis_view import draw_analysis, draw_evidence
from memorymark.ui.results.press import draw_outcome, press_area, pressed, start
from memorymark.ui.results.redrawn import as_chosen, wait_for_estimate
from memorymark.ui.results.shown import draw_run, shown_runs
from memorymark.ui.setup.choices import options_to_ask
from memorymark.ui.setup.setup_fields import draw_setup

ANALYZE = "Analyze"


def draw_result(run: Run) -> None:
    request = request_of(run)
    analysis = as_chosen(analysis_of(run.run_id), request)
    wait_for_estimate(analysis, request)
    draw_analysis(analysis, request, lambda: draw_analysis_levers(analysis, request))
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
