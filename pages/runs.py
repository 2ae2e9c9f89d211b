"""The run history: list, open, compare, export, delete, bring back."""

from __future__ import annotations

import streamlit as st

from memorymark.ui.frame import need_frame
from memorymark.ui.history.compare_runs import draw_compared
from memorymark.ui.history.deletion import draw_deleted, draw_deletion
from memorymark.ui.history.runs_view import (
    clear_ticks,
    draw_actions,
    draw_queue,
    draw_table,
)

need_frame()
st.title("Runs", anchor=False)
st.markdown(
    "Open, compare, export or delete what was run. Runs are kept on this machine until they are "
    "deleted."
)
# Each part has a place of its own: what comes and goes in one does not move, and so close, another.
with st.container():
    draw_queue()
with st.container():
    draw_deletion(on_deleted=clear_ticks)
with st.container():
    chosen = draw_table()
with st.container():
    if chosen:
        draw_actions(chosen)
    if len(chosen) > 1:
        draw_compared(chosen)
draw_deleted()
