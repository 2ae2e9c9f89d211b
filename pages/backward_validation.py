"""What a forward-only measurement misses, and whether torch.compile pays off."""

from __future__ import annotations

import streamlit as st

from memorymark.records.request import RequestKind, why_not_on
from memorymark.ui.frame import need_frame
from memorymark.ui.results.press import draw_outcome, press_area, pressed, say_reasons, start
from memorymark.ui.results.shown import draw_run, shown_runs
from memorymark.ui.results.validation_view import draw_backward, draw_compile
from memorymark.ui.setup.current import is_simulated
from memorymark.ui.setup.setup_fields import draw_setup

BACKWARD, COMPILE = "Validate the backward pass", "Validate torch.compile"
BUTTONS = {BACKWARD: RequestKind.BACKWARD, COMPILE: RequestKind.COMPILE}

need_frame()
st.title("Backward-pass validation", anchor=False)
st.markdown(
    "See what a whole training step needs beyond the forward pass, and whether torch.compile pays."
)
draw_setup()
reasons = {
    button: why
    for button, kind in BUTTONS.items()
    if (why := why_not_on(kind, simulated=is_simulated()))
}
with press_area():
    button = pressed(list(BUTTONS), reasons)
    if button is not None:
        start(BUTTONS[button])
    shown = shown_runs(*BUTTONS.values())
    draw_outcome(list(shown.values()))
say_reasons(reasons)
if not any(shown.values()):
    st.caption(
        "Validate the backward pass runs the current batch in four stages, from forward only to "
        "the whole training step, and checks every gradient. Validate torch.compile says how many "
        "steps it takes until compiling has paid off."
    )
draw_run(shown[RequestKind.BACKWARD], draw_backward, BACKWARD)
draw_run(shown[RequestKind.COMPILE], draw_compile, COMPILE)
