"""What a forward-only measurement misses, and whether torch.compile pays off."""

from __future__ import annotations

import streamlit as st

from memorymark.records.request import RequestKind
from memorymark.ui.engine import start
from memorymark.ui.frame import need_frame
from memorymark.ui.shown import draw_run, shown_runs
from memorymark.ui.targets import chosen_target
from memorymark.ui.training_form import training_form, validation_options
from memorymark.ui.validation_view import draw_backward, draw_compile

BUTTONS = {
    "Validate the backward pass": RequestKind.BACKWARD,
    "Validate torch.compile": RequestKind.COMPILE,
}

need_frame()
st.title("Backward-pass validation", anchor=False)
st.caption("What a forward-only measurement misses, and whether torch.compile pays off.")
asked = training_form("backward", list(BUTTONS), validation_options)
if asked is not None:
    start(
        BUTTONS[asked.button],
        asked.model,
        asked.config,
        memory_budget=asked.memory_budget,
        batch_size=asked.options["batch_size"],
        **chosen_target(),
    )
shown = shown_runs(RequestKind.BACKWARD, RequestKind.COMPILE)
if not any(shown.values()):
    st.info(
        "No validation yet. Validate the backward pass runs one batch in four stages, from forward "
        "only to the whole training step, and checks every gradient. Validate torch.compile is "
        "measured, not simulated: it needs a device of this machine as the target.",
        icon=":material/lightbulb:",
    )
draw_run(shown[RequestKind.BACKWARD], draw_backward)
draw_run(shown[RequestKind.COMPILE], draw_compile)
