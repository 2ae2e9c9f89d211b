"""The run history: list, open, compare, export, delete."""

from __future__ import annotations

import streamlit as st

from memorymark.ui.frame import need_frame
from memorymark.ui.runs_view import draw_actions, draw_queue, draw_side_by_side, draw_table

need_frame()
st.title("Runs", anchor=False)
st.caption("Runs are kept on this machine until they are deleted.")
draw_queue()
chosen = draw_table()
if chosen:
    draw_actions(chosen)
if len(chosen) == 2:
    draw_side_by_side(*chosen)
