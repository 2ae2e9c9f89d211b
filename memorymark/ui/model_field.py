"""The field of the model: names that are known, or any other of a form that the app takes."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from memorymark.records.option import options_of
from memorymark.records.request import Request
from memorymark.ui.engine import app_service
from memorymark.ui.option_widgets import show

_MODELS = ("bert", "gpt2", "resnet", "torchvision:vit_b_16", "hf:google-t5/t5-small")
_KEY = "setup_model"


def draw_model(value: str, on_change: Callable[[], None]) -> None:
    """Draw the field, which shows a model's name."""
    models = list(dict.fromkeys([*_MODELS, *app_service().settings.workloads, value]))
    show(_KEY, value)
    st.selectbox(
        options_of(Request)["model"].label,
        models,
        key=_KEY,
        accept_new_options=True,
        on_change=on_change,
        help="bert, gpt2, resnet, torchvision:NAME, timm:NAME or hf:ID (a model of the Hugging "
        "Face hub; only its configuration is read). Type to enter another model.",
    )


def entered_model() -> str:
    """Return what was entered; nothing where the field was cleared."""
    return (st.session_state.get(_KEY) or "").strip()
