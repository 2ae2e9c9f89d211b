"""The app's entry: frame, sidebar, navigation."""

from __future__ import annotations

import streamlit as st

from ui.frame import COMPARISON, navigate, run_framed
from ui.shown import note_shown_analysis
from ui.sidebar import draw_sidebar
from ui.slots import drawing

st.logo("ui/logo.svg", size="large")
page = navigate()
with drawing():
    note_shown_analysis()
    with st.sidebar:
        draw_sidebar(with_plan=page.title != COMPARISON)
    run_framed(page)
