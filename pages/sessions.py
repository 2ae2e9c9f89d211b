"""How many inference sessions fit, and what swapping their caches to the host does."""

from __future__ import annotations

import streamlit as st

from memorymark.records.request import RequestKind
from memorymark.ui.frame import need_frame
from memorymark.ui.results.press import draw_outcome, press_area, pressed, start
from memorymark.ui.results.sessions_view import draw_sessions
from memorymark.ui.results.shown import draw_run, shown_runs
from memorymark.ui.setup.choices import options_to_ask
from memorymark.ui.setup.serving_fields import draw_serving_setup

RUN = "Run sessions"

need_frame()
st.title("Sessions", anchor=False)
st.markdown(
    "See how many inference sessions a GPU holds with their caches of keys and values, and what "
    "moving the caches of waiting sessions to the host's memory costs."
)
draw_serving_setup()
with press_area():
    if pressed([RUN]):
        start(RequestKind.SESSIONS, **options_to_ask())
    shown = shown_runs(RequestKind.SESSIONS)[RequestKind.SESSIONS]
    draw_outcome([shown])
if shown is None:
    st.caption(
        "Sessions start one after the other, read their prompt, wait and take their turns again: "
        "simulated for a GPU of the catalogue, or run on a device of this machine. Sliders of "
        "sessions and context, which redraw what they need at once, come with the first result."
    )
draw_run(shown, draw_sessions, RUN)
