"""The field of the model: names that are known, or any other of a form that the app takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import streamlit as st

from memorymark.records.option import options_of
from memorymark.records.request import Request
from memorymark.ui.engine import app_service
from memorymark.ui.option_widgets import show
from memorymark.workloads.known_models import model_choices

_OTHERS = {"torchvision:vit_b_16": "ViT-B/16 · torchvision:vit_b_16"}
_KEY, _SEPARATOR = "setup_model", " · "


def draw_model(value: str, on_change: Callable[[], None]) -> None:
    """Draw the field, which shows a model's name."""
    own = app_service().settings.workloads
    names = {**choices_of(model_choices()), **_OTHERS}
    models = list(dict.fromkeys([*names, *own, value]))
    show(_KEY, value)
    st.selectbox(
        options_of(Request)["model"].label,
        models,
        models.index(value),
        key=_KEY,
        format_func=lambda name: names.get(name, name),
        filter_mode="contains",
        accept_new_options=True,
        on_change=on_change,
        help="Type to search, or to enter another model: torchvision:NAME, timm:NAME or hf:ID (a "
        "model of the Hugging Face hub; only its configuration is read).",
    )


def choices_of(models: Iterable[str]) -> dict[str, str]:
    """Return models of the list with what a field shows for each."""
    known = model_choices()
    return {name: _named(name, known[name]) for name in models}


def _named(name: str, words: str) -> str:
    """Put a model's label before the name that it has everywhere else on the page."""
    return f"{words.partition(_SEPARATOR)[0]}{_SEPARATOR}{name}"


def entered_model() -> str:
    """Return what was entered; nothing where the field was cleared."""
    return (st.session_state.get(_KEY) or "").strip()
