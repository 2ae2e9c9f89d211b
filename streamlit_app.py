"""The app's entry: frame, sidebar, navigation."""

from __future__ import annotations

import streamlit as st

from memorymark.ui.frame import COMPARISON, LOGO, navigate, run_framed
from memorymark.ui.notices import draw_history_problem
from memorymark.ui.shown import note_shown_analysis
from memorymark.ui.sidebar import draw_sidebar
from memorymark.ui.slots import drawing

st.logo(LOGO, size="large")
page = navigate()
with drawing():
    note_shown_analysis()
    with st.sidebar:
        draw_sidebar(with_plan=page.title != COMPARISON)
    draw_history_problem()
    run_framed(page)
