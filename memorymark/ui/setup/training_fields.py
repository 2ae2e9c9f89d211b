"""The fields of the setup of a training: what is read, how long, how weights are updated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import streamlit as st

from memorymark.records.request import Request, RequestKind
from memorymark.records.upload_names import own_name, told_name, upload_hash
from memorymark.service.training_admission import DATA as MEDIUM
from memorymark.service.uploaded_texts import LARGEST_TEXT_BYTES, TEXT_ENDINGS
from memorymark.ui import say
from memorymark.ui.engine import app_service
from memorymark.ui.option_widgets import show
from memorymark.ui.setup.current import current_device, current_setup, form_values, set_value
from memorymark.ui.setup.form_fields import (
    draw_amount,
    draw_budget,
    draw_device,
    draw_field,
    draw_no_text,
    draw_refused,
    draw_setup_model,
    field_key,
    more_settings,
)
from memorymark.ui.setup.setup_record import DATA, TIME_BUDGET, TRAIN_BATCH, TRAIN_FORM, UPLOAD
from memorymark.ui.setup.targets import device_target
from memorymark.units import MIB

_LENGTH = ("steps", "data_epochs", "tokens")
_RATE = ("learning_rate", "schedule", "warmup")
_BATCH = (TRAIN_BATCH, "effective_batch", "seq_len")
_MORE = (
    "precision", "optimizer", "lora_rank", "grad_clip", "patience", "eval_every", "eval_batches",
    "eval_share", "sample_tokens", "final_rate", "weight_decay", "beta2", "seed", "random_weights",
    "gradient_checkpointing", "attention", "optimizer_impl", "zero_grad", "use_cache", "dropout",
    "freeze", "drop_outputs", "chunked_cross_entropy", "cudnn_benchmark", "expandable_segments",
)  # fmt: skip
_CHOICE, _FILE = field_key(TRAIN_FORM, DATA), field_key(TRAIN_FORM, "data_file")


def draw_training_setup() -> None:
    """Draw what a training is asked for."""
    draw_refused()
    with st.grid(3, min_column_width=150) as fields:
        with fields.cell(column_span=2):
            draw_setup_model()
            draw_no_text(TRAIN_FORM)
        draw_device(TRAIN_FORM)
    _draw_data()
    with st.grid(3, min_column_width=150):
        draw_amount(TRAIN_FORM, TIME_BUDGET)
        draw_budget()
        for name in (*_LENGTH[:1], *_BATCH, *_RATE[:1], *_RATE[1:2]):
            _draw(name)
    with more_settings(TRAIN_FORM, (*_LENGTH[1:], *_RATE[2:], *_MORE)):
        for name in (*_LENGTH[1:], *_RATE[2:], *_MORE):
            _draw(name)


def asked_training() -> tuple[Request, Mapping[str, bytes]]:
    """Return what is asked for, and what the uploaded text holds.

    Raises:
        UsageError: What is set does not go together.
    """
    chosen, file = _chosen(), st.session_state.get(_FILE)
    media: dict[str, bytes] = {}
    if chosen == UPLOAD and file is not None:
        media[MEDIUM] = file.getvalue()
        chosen = told_name(file.name, media[MEDIUM])
    named = {DATA: chosen} if chosen else {}
    return current_setup().request(RequestKind.TRAIN, **named), media


def _draw(name: str) -> None:
    draw_field(TRAIN_FORM, name, target=device_target(current_device()))


def _draw_data() -> None:
    """Draw the choice of texts, where there is one, and the field of an upload."""
    chosen, names = _chosen(), _choices()
    if len(names) > 1:
        show(_CHOICE, chosen)
        st.selectbox(
            "Text", list(names), list(names).index(chosen), key=_CHOICE,
            format_func=names.__getitem__, on_change=_take_data,
            help="What it is trained on; its end is kept for evaluation.",
        )  # fmt: skip
    if chosen != UPLOAD:
        return
    st.file_uploader(
        "Text to train on", [ending.lstrip(".") for ending in TEXT_ENDINGS], key=_FILE,
        max_upload_size=LARGEST_TEXT_BYTES // MIB,
        help="A text, or a tokens file of `memorymark tokenize`. It is kept on this machine, so "
        "that the training can go on later.",
    )  # fmt: skip
    kept = form_values(TRAIN_FORM)[DATA]
    if kept and kept not in names and st.session_state.get(_FILE) is None:
        say.caption("{} of the run that was opened is not here. Give it again.", _name_of(kept))


def _name_of(text: str) -> str:
    return PurePath(own_name(text)).name


def _choices() -> dict[str, str]:
    """Return the texts that can be chosen, with their names for people: no path is shown."""
    service, kept = app_service(), form_values(TRAIN_FORM)[DATA]
    allowed = service.settings.data
    names = {each: PurePath(each).name or each for each in allowed}
    doubled = {name for name in names.values() if list(names.values()).count(name) > 1}
    names = {each: each if name in doubled else name for each, name in names.items()}
    if kept and upload_hash(kept) and service.has_text(kept):
        names[kept] = f"{own_name(kept)}, uploaded before"
    return {**names, UPLOAD: "Upload a text"}


def _chosen() -> Any:
    """Return the text that is chosen: by default the first that the owner allows."""
    chosen, names = form_values(TRAIN_FORM)[DATA], _choices()
    return chosen if chosen in names else next(iter(names))


def _take_data() -> None:
    chosen = st.session_state.get(_CHOICE)
    if chosen in _choices():
        set_value(DATA, chosen, TRAIN_FORM)
