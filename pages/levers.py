"""What would make room: every change of the training, what it saves, and what makes it fit."""

from __future__ import annotations

import streamlit as st

from memorymark.records.request import RequestKind
from memorymark.ui.frame import need_frame
from memorymark.ui.results.levers_view import draw_levers
from memorymark.ui.results.press import draw_outcome, press_area, pressed, start
from memorymark.ui.results.shown import draw_run, shown_runs
from memorymark.ui.setup.choices import options_to_ask
from memorymark.ui.setup.setup_fields import draw_setup

FIND = "Find levers"

need_frame()
st.title("Levers", anchor=False)
st.markdown(
    "See what would make room for the current batch: every change, alone and combined, with what "
    "it saves in memory, time and money, and what it may cost in accuracy."
)
draw_setup()
with press_area():
    if pressed([FIND]):
        start(RequestKind.LEVERS, **options_to_ask())
    shown = shown_runs(RequestKind.LEVERS)[RequestKind.LEVERS]
    draw_outcome([shown])
if shown is None:
    st.caption(
        "Find levers simulates each change at the current batch, and the cheapest set of them "
        "that makes it fit where it does not."
    )
draw_run(shown, draw_levers, FIND)
