"""The fields of the setup of a generation: what is read, and how what is written is chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import streamlit as st

from memorymark.errors import UsageError
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.request import Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.ui import say
from memorymark.ui.machine_view import local_devices
from memorymark.ui.say import plain
from memorymark.ui.setup.current import current_setup, refused_in_address, setup_values
from memorymark.ui.setup.model_field import draw_model
from memorymark.ui.setup.setup_fields import take_model
from memorymark.units import MIB
from memorymark.workloads.known_models import lengths_of

_LARGEST_MIB = 8
_LONGEST_PROMPT = 8_000
_MOST_TOKENS, _FIRST_TOKENS = 512, 64
_HOTTEST = 2.0
_IMAGES = ("png", "jpg", "jpeg", "webp", "gif", "bmp")
_SOUNDS = ("wav", "flac", "ogg", "mp3")
_FORMATS = ("bf16", "fp32", "fp16")
_READS = {"seq_len": "prompt", "image_size": "image", "audio_seconds": "audio"}


def draw_generation_setup() -> None:
    """Draw what a generation is asked for."""
    for sentence in refused_in_address():
        say.warning("Ignored in the address: {}", sentence, icon=":material/link_off:")
    model = setup_values()["model"]
    with st.grid(3, min_column_width=150) as fields:
        with fields.cell(column_span=2):
            draw_model(model, on_change=take_model)
        devices = dict(local_devices())
        st.selectbox("Device", list(devices), format_func=_name_of, key="generate_device")
    reads = _read_by(model)
    if "prompt" in reads:
        st.text_area("Prompt", key="generate_prompt", max_chars=_LONGEST_PROMPT, height=90)
    if {"image", "audio"} <= reads:  # what the model reads is not known before it is loaded
        with st.expander("Image or sound", icon=":material/upload_file:", key="generate_media"):
            _draw_uploads(reads)
    else:
        _draw_uploads(reads)
    with st.grid(3, min_column_width=150):
        st.slider("New tokens", 1, _MOST_TOKENS, _FIRST_TOKENS, key="generate_tokens")
        st.slider("Temperature", 0.0, _HOTTEST, 0.0, 0.1, key="generate_temperature")
        st.selectbox("Precision", _FORMATS, key="generate_weights")


def asked_generation() -> tuple[Request, Mapping[str, bytes]]:
    """Return what is asked for, and what the uploaded files hold.

    Raises:
        UsageError: What is set does not go together.
    """
    setup, state = current_setup(), st.session_state
    named, media = _uploads(setup.model)
    prompt = (state.get("generate_prompt") or "").strip() or None
    plan = GenerationPlan(
        prompt=prompt if "prompt" in _read_by(setup.model) else None,
        max_new_tokens=state.get("generate_tokens", _FIRST_TOKENS),
        temperature=state.get("generate_temperature", 0.0),
        **named,
    )
    request = Request(
        RequestKind.GENERATE,
        setup.model,
        device=state.get("generate_device") or local_devices()[0][0],
        serving=ServingConfig(weights=state.get("generate_weights", _FORMATS[0])),
        generation=plan,
    )
    return request, media


def _read_by(model: str) -> set[str]:
    """Return what a model may read: all, where that is not known without loading it."""
    lengths = lengths_of(model)
    if lengths is None:
        return set(_READS.values())
    reads = {_READS[name] for name in lengths if name in _READS}
    return reads - {"prompt"} if "audio" in reads else reads


def _draw_uploads(reads: set[str]) -> None:
    if "image" in reads:
        _draw_upload("Image", "image", _IMAGES)
    if "audio" in reads:
        _draw_upload("Sound", "audio", _SOUNDS)


def _draw_upload(label: str, what: str, types: tuple[str, ...]) -> None:
    st.file_uploader(
        plain(label),
        list(types),
        key=f"generate_{what}",
        max_upload_size=_LARGEST_MIB,
        help="It is decoded in memory, and is not kept.",
    )


def _uploads(model: str) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return the names of the uploaded files, each told from others of its name, and their data."""
    named: dict[str, str] = {}
    media: dict[str, bytes] = {}
    for what in _read_by(model) & {"image", "audio"}:
        file: Any = st.session_state.get(f"generate_{what}")
        if file is None:
            continue
        if file.size > _LARGEST_MIB * MIB:
            raise UsageError(f"The {what} is larger than {_LARGEST_MIB} MiB. Give a smaller one.")
        media[what] = file.getvalue()
        named[what] = f"{file.name[-80:]} ({hashlib.sha256(media[what]).hexdigest()[:12]})"
    return named, media


def _name_of(device: str) -> str:
    return dict(local_devices()).get(device, device)
