"""The fields of the setup of sessions: model and GPU of all pages, and how the model generates."""

from __future__ import annotations

import streamlit as st

from memorymark.errors import UsageError
from memorymark.ui import say
from memorymark.ui.option_widgets import draw_option, entered, show
from memorymark.ui.setup.current import (
    refused_in_address,
    served_values,
    set_served,
    setup_values,
)
from memorymark.ui.setup.model_field import draw_model
from memorymark.ui.setup.setup_fields import draw_budget, draw_target, take_model
from memorymark.ui.setup.setup_record import HOST_MEMORY, SERVED

_FIRST = ("weights", "context_tokens", "sessions", "policy")
_MORE = (
    "output_tokens", "batch_size", "cache", "attention", "active", "turns", "pause_layer",
    "expandable_segments", "compiled",
)  # fmt: skip


def draw_serving_setup() -> None:
    """Draw what sessions are asked for."""
    for sentence in refused_in_address():
        say.warning("Ignored in the address: {}", sentence, icon=":material/link_off:")
    with st.grid(3, min_column_width=150) as fields:
        with fields.cell(column_span=2):
            draw_model(setup_values()["model"], on_change=take_model)
        draw_target()
        for name in _FIRST:
            _draw(name)
    values = served_values()
    changed = [name for name in _MORE if values[name] != SERVED[name].default]
    with (
        st.expander(
            f"More settings ({len(changed)} changed)" if changed else "More settings",
            icon=":material/tune:",
            key="served_more",
        ),
        st.grid(3, min_column_width=220),
    ):
        for name in _MORE:
            _draw(name)
        draw_budget()
        _draw_host_memory()


def _draw(name: str) -> None:
    draw_option(SERVED[name], _key(name), served_values()[name], on_change=_take, args=(name,))


def _draw_host_memory() -> None:
    value = served_values()[HOST_MEMORY.name] or ""
    show(_key(HOST_MEMORY.name), value)
    st.text_input(
        HOST_MEMORY.label,
        value,
        key=_key(HOST_MEMORY.name),
        placeholder="no limit, or e.g. 256GiB",
        help=HOST_MEMORY.help,
        on_change=_take_host_memory,
    )


def _key(name: str) -> str:
    return f"served_{name}"


def _take(name: str) -> None:
    try:
        set_served(name, entered(SERVED[name], _key(name)))
    except UsageError:
        return  # the widget shows what holds again


def _take_host_memory() -> None:
    name = HOST_MEMORY.name
    set_served(name, (st.session_state.get(_key(name)) or "").strip())
