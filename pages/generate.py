"""Text, answers and transcriptions for real, with predicted beside measured memory."""

from __future__ import annotations

import streamlit as st

from memorymark.records.request import RequestKind
from memorymark.ui.frame import need_frame
from memorymark.ui.results.generation_view import draw_generation, watch_text
from memorymark.ui.results.press import draw_outcome, press_area, pressed, start_as_asked
from memorymark.ui.results.shown import draw_run, shown_runs
from memorymark.ui.setup.generation_fields import asked_generation, draw_generation_setup

RUN = "Generate"

need_frame()
st.title("Generate", anchor=False)
st.markdown(
    "Have a model write on a device of this machine, and see what it held beside what was "
    "predicted. Weights are random, except those of folders that the owner allows."
)
draw_generation_setup()
with press_area():
    if pressed([RUN]):
        start_as_asked(asked_generation)
    shown = shown_runs(RequestKind.GENERATE)[RequestKind.GENERATE]
    draw_outcome([shown])
draw_run(shown, draw_generation, RUN, watch_text)
