"""What a training costs at the current and the recommended batch, and on other GPUs."""

from __future__ import annotations

import streamlit as st

from memorymark.records.request import RequestKind
from memorymark.ui.frame import need_frame
from memorymark.ui.kept_runs import request_of_analysis
from memorymark.ui.results.comparison_view import draw_comparison, draw_savings
from memorymark.ui.results.press import draw_outcome, press_area, pressed, start
from memorymark.ui.results.redrawn import as_chosen, wait_for_estimate
from memorymark.ui.results.shown import draw_run, shown_runs
from memorymark.ui.setup.choices import plan_to_ask, shown_analysis
from memorymark.ui.setup.setup_fields import draw_setup
from memorymark.ui.sidebar import draw_plan

COMPARE = "Compare GPUs"

need_frame()
st.title("Cost comparison", anchor=False)
st.markdown(
    "See what this training costs on each GPU, at prices that you can edit, and which is cheapest "
    "or fastest."
)
draw_setup()
with press_area():
    if pressed([COMPARE]):
        start(RequestKind.COMPARISON, **plan_to_ask())
    shown = shown_runs(RequestKind.COMPARISON)[RequestKind.COMPARISON]
    draw_outcome([shown])
if shown is None:
    st.caption(
        "Compare GPUs simulates this training on every GPU that is rented out, or takes a measured "
        "run from the history."
    )
draw_plan()
draw_run(shown, draw_comparison, COMPARE)
analysis = shown_analysis()
if analysis is not None:
    asked = request_of_analysis(analysis)
    analysis = as_chosen(analysis, asked)
    wait_for_estimate(analysis, asked)
    draw_savings(analysis, asked)
