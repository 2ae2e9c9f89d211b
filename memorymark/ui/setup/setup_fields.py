"""The fields of the setup, at the top of the pages, and what fills it when a run is opened."""

from __future__ import annotations

from functools import partial

import streamlit as st

from memorymark.errors import UsageError
from memorymark.gpus.abilities import why_not
from memorymark.records.config import LENGTHS
from memorymark.records.option import options_of
from memorymark.records.request import Request
from memorymark.ui import say
from memorymark.ui.option_widgets import draw_option, entered, show
from memorymark.ui.setup.current import (
    current_gpu,
    not_by_default,
    refused_in_address,
    set_value,
    setup_values,
)
from memorymark.ui.setup.memory_bar import draw_memory_bar
from memorymark.ui.setup.model_field import draw_model, entered_model
from memorymark.ui.setup.setup_record import BATCH, OPTIONS, SEARCH, training_options
from memorymark.ui.setup.targets import SIMULATED, kind_of, target_options

_BUDGET = options_of(Request)["memory_budget"]
_MAIN_LENGTHS = ("seq_len", "image_size", "audio_seconds")  # the first that the model takes
_MORE = (
    *LENGTHS, "optimizer", "task", "gradient_accumulation", "gradient_checkpointing", "attention",
    "optimizer_impl", "zero_grad", "loop", "use_cache", "num_labels", "dropout", "channels_last",
    "cudnn_benchmark", "lora_rank", "freeze", "grad_clip", "drop_outputs", "chunked_cross_entropy",
    "expandable_segments",
)  # fmt: skip


def draw_setup() -> None:
    """Draw the setup and the memory bar that follows it."""
    for sentence in refused_in_address():
        say.warning("Ignored in the address: {}", sentence, icon=":material/link_off:")
    more = list(_shown())
    length = next((name for name in _MAIN_LENGTHS if name in more), None)
    with st.grid(3, min_column_width=150) as fields:
        with fields.cell(column_span=2):  # names of models are long
            draw_model(setup_values()["model"], on_change=take_model)
        draw_target()
        _draw("precision")
        _draw(BATCH, label="Current batch")
        if length is not None:
            more.remove(length)
            _draw(length)
    draw_memory_bar()
    changed = not_by_default((*more, *SEARCH))
    with (
        st.expander(
            f"More settings ({len(changed)} changed)" if changed else "More settings",
            icon=":material/tune:",
            key="setup_more",
        ),
        st.grid(3, min_column_width=220),
    ):
        for name in more:
            _draw(name)
        draw_budget()
        for name in SEARCH:
            _draw(name)


def _shown() -> tuple[str, ...]:
    values = setup_values()
    shown = training_options(values["model"], values["task"])
    return tuple(name for name in _MORE if name in shown)


def _draw(name: str, label: str | None = None) -> None:
    option, values = OPTIONS[name], setup_values()
    look = partial(why_not, name, kind=kind_of(values["target"]), gpu=current_gpu())
    asked = option.choices or (["True"] if option.kind is bool else [])
    reasons = {value: why for value in asked if (why := look(value))}
    draw_option(
        option, _key(name), values[name], reasons, label=label, on_change=_take, args=(name,)
    )


def draw_target() -> None:
    """Draw the field of the device or the GPU."""
    names = {target: words.removesuffix(SIMULATED) for target, words in target_options().items()}
    target = setup_values()["target"]
    show(_key("target"), target)
    st.selectbox(
        "GPU",
        list(names),
        list(names).index(target),
        format_func=names.__getitem__,
        key=_key("target"),
        on_change=_take_target,
        help="On a device of this machine, real training steps are measured. A GPU of the "
        "catalogue is simulated.",
    )


def draw_budget() -> None:
    """Draw the field of the memory budget."""
    budget = setup_values()["memory_budget"]
    show(_key("memory_budget"), budget)
    st.text_input(
        _BUDGET.label,
        budget,
        key=_key("memory_budget"),
        placeholder="whole device, or e.g. 4GiB",
        help=_BUDGET.help,
        on_change=_take_budget,
    )


def _key(name: str) -> str:
    return f"setup_{name}"


def _take(name: str) -> None:
    try:
        set_value(name, entered(OPTIONS[name], _key(name)))
    except UsageError:
        return  # the widget shows what holds again


def take_model() -> None:
    """Take the model that was entered."""
    if model := entered_model():
        set_value("model", model)


def _take_target() -> None:
    target = st.session_state.get(_key("target"))
    if target in target_options():
        set_value("target", target)


def _take_budget() -> None:
    set_value("memory_budget", (st.session_state.get(_key("memory_budget")) or "").strip())
