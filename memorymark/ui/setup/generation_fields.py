"""The fields of the setup of a generation: what is read, and how what is written is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from memorymark.errors import UsageError
from memorymark.records.request import Request, RequestKind
from memorymark.records.upload_names import told_name
from memorymark.ui import say
from memorymark.ui.option_widgets import show
from memorymark.ui.say import plain
from memorymark.ui.setup.blend_fields import draw_blend
from memorymark.ui.setup.current import (
    asked_names,
    current_device,
    current_model,
    current_setup,
    form_values,
)
from memorymark.ui.setup.form_fields import (
    draw_budget,
    draw_device,
    draw_field,
    draw_no_text,
    draw_refused,
    draw_setup_model,
    draw_slider,
    field_key,
    more_settings,
    take_text,
)
from memorymark.ui.setup.setup_record import GENERATION_FORM, MEDIA, PROMPT, read_by
from memorymark.ui.setup.targets import device_target
from memorymark.units import MIB

_LARGEST_MIB = 8
_LONGEST_PROMPT = 8_000
_SLIDERS = {"max_new_tokens": (512, 1), "temperature": (2.0, 0.1)}  # their ends and steps
_MORE = (
    "top_k", "top_p", "seed", "prompt_tokens", "task", "cache", "attention", "compiled",
    "random_weights",
)  # fmt: skip
_LABELS = {"image": "Image", "audio": "Sound"}
_TYPES = {
    "image": ("png", "jpg", "jpeg", "webp", "gif", "bmp"),
    "audio": ("wav", "flac", "ogg", "mp3"),
}


def draw_generation_setup() -> None:
    """Draw what a generation is asked for."""
    draw_refused()
    with st.grid(3, min_column_width=150) as fields:
        with fields.cell(column_span=2):
            draw_setup_model()
            draw_no_text(GENERATION_FORM, answers=True)
        draw_device(GENERATION_FORM)
    reads = read_by(current_model())
    if "prompt" in reads:
        _draw_prompt()
    if {"image", "audio"} <= reads:  # what the model reads is not known before it is loaded
        with st.expander("Image or sound", icon=":material/upload_file:", key="generated_media"):
            _draw_uploads(reads)
    else:
        _draw_uploads(reads)
    asked = asked_names(GENERATION_FORM)
    with st.grid(3, min_column_width=150):
        for name, (most, step) in _SLIDERS.items():
            if name in asked:
                draw_slider(GENERATION_FORM, name, most, step)
        draw_field(GENERATION_FORM, "weights")
    draw_blend()
    more = [name for name in _MORE if name in asked]
    with more_settings(GENERATION_FORM, more):
        for name in more:
            draw_field(GENERATION_FORM, name, target=device_target(current_device()))
        draw_budget()


def asked_generation() -> tuple[Request, Mapping[str, bytes]]:
    """Return what is asked for, and what the uploaded files hold.

    Raises:
        UsageError: What is set does not go together.
    """
    named, media = _uploads()
    return current_setup().request(RequestKind.GENERATE, **named), media


def _draw_prompt() -> None:
    prompt, key = (
        form_values(GENERATION_FORM)[PROMPT.name] or "",
        field_key(GENERATION_FORM, "prompt"),
    )
    show(key, prompt)
    st.text_area(
        PROMPT.label,
        prompt,
        key=key,
        max_chars=max(_LONGEST_PROMPT, len(prompt)),
        height=90,
        on_change=take_text,
        args=(PROMPT.name, GENERATION_FORM),
    )


def _draw_uploads(reads: set[str]) -> None:
    for what in MEDIA:
        if what in reads:
            _draw_upload(what)


def _draw_upload(what: str) -> None:
    file = st.file_uploader(
        plain(_LABELS[what]),
        list(_TYPES[what]),
        key=_upload_key(what),
        max_upload_size=_LARGEST_MIB,
        help="It is decoded in memory, and is not kept.",
    )
    name = form_values(GENERATION_FORM)[what]
    if name is not None and file is None:
        say.caption("{} of the run that was opened is not kept. Give it again.", name)


def _uploads() -> tuple[dict[str, str], dict[str, bytes]]:
    """Return the names of the uploaded files, each told from others of its name, and their data."""
    named: dict[str, str] = {}
    media: dict[str, bytes] = {}
    for what in read_by(current_model()).intersection(MEDIA):
        file: Any = st.session_state.get(_upload_key(what))
        if file is None:
            continue
        if file.size > _LARGEST_MIB * MIB:
            raise UsageError(f"The {what} is larger than {_LARGEST_MIB} MiB. Give a smaller one.")
        media[what] = file.getvalue()
        named[what] = told_name(file.name, media[what])
    return named, media


def _upload_key(what: str) -> str:
    return field_key(GENERATION_FORM, f"{what}_file")
