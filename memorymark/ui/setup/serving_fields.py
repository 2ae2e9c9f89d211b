"""The fields of the setup of sessions: model and GPU of all pages, and how the model generates."""

from __future__ import annotations

import streamlit as st

from memorymark.ui.setup.current import asked_names
from memorymark.ui.setup.form_fields import (
    draw_amount,
    draw_budget,
    draw_field,
    draw_refused,
    draw_setup_model,
    draw_target,
    more_settings,
)
from memorymark.ui.setup.setup_record import HOST_MEMORY, SESSIONS_FORM

_FIRST = ("weights", "context_tokens", "sessions", "policy")
_MORE = (
    "output_tokens", "batch_size", "image_size", "audio_seconds", "task", "cache", "attention",
    "active", "turns", "pause_layer", "expandable_segments", "compiled",
)  # fmt: skip


def draw_serving_setup() -> None:
    """Draw what sessions are asked for."""
    draw_refused()
    with st.grid(3, min_column_width=150) as fields:
        with fields.cell(column_span=2):
            draw_setup_model()
        draw_target()
        for name in _FIRST:
            draw_field(SESSIONS_FORM, name)
    shown = asked_names(SESSIONS_FORM)
    more = [name for name in _MORE if name in shown]
    with more_settings(SESSIONS_FORM, (*more, HOST_MEMORY.name)):
        for name in more:
            draw_field(SESSIONS_FORM, name)
        draw_budget()
        draw_amount(SESSIONS_FORM, HOST_MEMORY)
