"""The fields of the setup of a training, at the top of the pages."""

from __future__ import annotations

import streamlit as st

from memorymark.records.config import LENGTHS
from memorymark.ui.setup.current import asked_names
from memorymark.ui.setup.form_fields import (
    draw_budget,
    draw_field,
    draw_refused,
    draw_setup_model,
    draw_target,
    more_settings,
)
from memorymark.ui.setup.memory_bar import draw_memory_bar
from memorymark.ui.setup.setup_record import BATCH, SEARCH, TRAINED_FORM

_MAIN_LENGTHS = ("seq_len", "image_size", "audio_seconds")  # the first that the model takes
_MORE = (
    *LENGTHS, "optimizer", "task", "gradient_accumulation", "gradient_checkpointing", "attention",
    "optimizer_impl", "zero_grad", "loop", "use_cache", "num_labels", "dropout", "channels_last",
    "cudnn_benchmark", "lora_rank", "freeze", "grad_clip", "drop_outputs", "chunked_cross_entropy",
    "expandable_segments",
)  # fmt: skip


def draw_setup() -> None:
    """Draw the setup and the memory bar that follows it."""
    draw_refused()
    more = list(_shown())
    length = next((name for name in _MAIN_LENGTHS if name in more), None)
    with st.grid(3, min_column_width=150) as fields:
        with fields.cell(column_span=2):  # names of models are long
            draw_setup_model()
        draw_target()
        draw_field(TRAINED_FORM, "precision")
        draw_field(TRAINED_FORM, BATCH, label="Current batch")
        if length is not None:
            more.remove(length)
            draw_field(TRAINED_FORM, length)
    draw_memory_bar()
    with more_settings(TRAINED_FORM, (*more, *SEARCH)):
        for name in more:
            draw_field(TRAINED_FORM, name)
        draw_budget()
        for name in SEARCH:
            draw_field(TRAINED_FORM, name)


def _shown() -> tuple[str, ...]:
    shown = asked_names(TRAINED_FORM)
    return tuple(name for name in _MORE if name in shown)
