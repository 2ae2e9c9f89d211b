"""Real training within budgets: started, watched, stopped, gone on with, and compared."""

from __future__ import annotations

import streamlit as st

from memorymark.records.request import RequestKind
from memorymark.ui.frame import need_frame
from memorymark.ui.results.press import draw_outcome, press_area, pressed, start_as_asked
from memorymark.ui.results.shown import draw_run, newest_shown, shown_runs
from memorymark.ui.results.training_comparison_view import draw_trainings
from memorymark.ui.results.training_progress import watch_training
from memorymark.ui.results.training_view import draw_go_on, draw_training
from memorymark.ui.setup.training_fields import asked_training, draw_training_setup

TRAIN = "Train"
KINDS = (RequestKind.TRAIN, RequestKind.COMPARE_TRAINING)

need_frame()
st.title("Training", anchor=False)
st.markdown(
    "Train a language model on a text for real, within budgets of memory and time, and open what "
    "came of it on the page Generate. What it would take on other cards is simulated."
)
draw_training_setup()
with press_area():
    if pressed([TRAIN]):
        start_as_asked(asked_training)
    shown = newest_shown(shown_runs(*KINDS))
    draw_go_on(shown)
    draw_outcome([shown])
if shown is None:
    st.caption(
        "Auto takes the batch that an analysis on this device recommends. The loss, memory and "
        "throughput are drawn while it trains; stopped early, it goes on from its checkpoint."
    )
is_two = shown is not None and shown.kind == RequestKind.COMPARE_TRAINING
draw_run(shown, draw_trainings if is_two else draw_training, TRAIN, watch_training)
