"""The fields of the setup of sessions: model and GPU of all pages, and how the model generates."""

from __future__ import annotations

import streamlit as st

from memorymark.ui import say
from memorymark.ui.setup.current import (
    asked_names,
    current_context,
    current_model,
    form_values,
    is_simulated,
)
from memorymark.ui.setup.form_fields import (
    draw_amount,
    draw_budget,
    draw_field,
    draw_no_text,
    draw_refused,
    draw_setup_model,
    draw_target,
    more_settings,
)
from memorymark.ui.setup.model_facts import positions_here
from memorymark.ui.setup.setup_record import CONTEXT, HOST_MEMORY, SESSIONS_FORM
from memorymark.units import count

_VERSION = "transformers_version"
_FIRST = ("weights", "context_tokens", "sessions", "policy")
_MORE = (
    "output_tokens", "batch_size", "image_size", "audio_seconds", "task", "cache", "attention",
    "active", "turns", "pause_layer", "expandable_segments", "compiled", _VERSION,
)  # fmt: skip


def draw_serving_setup() -> None:
    """Draw what sessions are asked for."""
    draw_refused()
    with st.grid(3, min_column_width=150) as fields:
        with fields.cell(column_span=2):
            draw_setup_model()
            draw_no_text(SESSIONS_FORM)
        draw_target()
        for name in _FIRST:
            draw_field(SESSIONS_FORM, name)
    _draw_positions()
    more = _shown()
    with more_settings(SESSIONS_FORM, (*more, HOST_MEMORY.name)):
        for name in more:
            draw_field(SESSIONS_FORM, name)
        draw_budget()
        draw_amount(SESSIONS_FORM, HOST_MEMORY)


def _shown() -> list[str]:
    """Return the further options that count; a version is simulated, and else only taken back."""
    names = asked_names(SESSIONS_FORM)
    has_version = is_simulated() or form_values(SESSIONS_FORM)[_VERSION] is not None
    return [name for name in _MORE if name in names and (name != _VERSION or has_version)]


def _draw_positions() -> None:
    """Say where the model's positions cut the context, or are too few for it."""
    model, context = current_model(), current_context()
    most, given = positions_here(model), form_values(SESSIONS_FORM)[CONTEXT]
    if most is None:
        return
    if context != given:
        say.caption(
            "{} has {} positions: the context is {} tokens, in place of {} by default.",
            model, count(most), count(context), count(given),
        )  # fmt: skip
    elif context > most:
        say.warning(
            "{} has {} positions, too few for a context of {} tokens. Set the context to {} or "
            "less, or choose another model.",
            model, count(most), count(context), count(most),
        )  # fmt: skip
