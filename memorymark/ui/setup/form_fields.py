"""What the fields of all setups share: an option's widget, an amount, the target, more settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import streamlit as st

from memorymark.errors import UsageError
from memorymark.gpus.abilities import why_not
from memorymark.records.option import Option, options_of
from memorymark.records.request import Request
from memorymark.ui import say
from memorymark.ui.machine_view import local_devices
from memorymark.ui.option_widgets import bounds, draw_option, entered, show
from memorymark.ui.say import plain
from memorymark.ui.setup.current import (
    current_device,
    current_model,
    current_target,
    form_values,
    not_by_default,
    refused_in_address,
    set_value,
    setup_values,
    shown_value,
)
from memorymark.ui.setup.model_facts import why_no_text
from memorymark.ui.setup.model_field import draw_model, entered_model
from memorymark.ui.setup.setup_record import HOST_MEMORY, TIME_BUDGET, TRAINED_FORM, Form
from memorymark.ui.setup.targets import (
    SIMULATED,
    device_target,
    gpu_of,
    kind_of,
    target_options,
)

BUDGET = options_of(Request)["memory_budget"]
_HERE = "This machine's "  # said above the fields
_EMPTY = {BUDGET.name: "whole device, or e.g. 4GiB", HOST_MEMORY.name: "no limit, or e.g. 256GiB",
          TIME_BUDGET.name: "no limit, or e.g. 10m or 2h"}  # fmt: skip


def draw_refused() -> None:
    """Say what the address says and is not understood."""
    for sentence in refused_in_address():
        say.warning("Ignored in the address: {}", sentence, icon=":material/link_off:")


def draw_setup_model() -> None:
    """Draw the field of the model, which all pages share."""
    draw_model(current_model(), on_change=take_model)


def draw_no_text(form: Form, *, answers: bool = False) -> None:
    """Say where the model writes no text, and what to choose.

    Args:
        form: The form of the page, on which models write.
        answers: Whether the page takes what names classes of images, too.
    """
    why = why_no_text(current_model(), form_values(form).get("task"), answers=answers)
    if why is not None:
        say.warning("{}", why, icon=":material/edit_off:")


def draw_field(form: Form, name: str, label: str | None = None, target: str | None = None) -> None:
    """Draw the field of an option, without what its target cannot do.

    Args:
        form: The form that it is of.
        name: The option.
        label: What it is called here, where it has a shorter name.
        target: What it is for, by name; None for the setup's target.
    """
    option, target = form.options[name], target or current_target()
    look = partial(why_not, name, kind=kind_of(target), gpu=gpu_of(target))
    asked = option.choices or (["True"] if option.kind is bool else [])
    reasons = {value: why for value in asked if (why := look(value))}
    draw_option(
        option, field_key(form, name), shown_value(form, name), reasons, label=label,
        on_change=take, args=(name, form),
    )  # fmt: skip


def draw_slider(form: Form, name: str, largest: float, step: float) -> None:
    """Draw the field of an option as a slider, which goes further where a run or a link did."""
    option, key, value = form.options[name], field_key(form, name), form_values(form)[name]
    smallest, _ = bounds(option)
    most = option.kind(max(largest, value))
    show(key, value)
    st.slider(
        option.label, smallest, most, option.kind(value), option.kind(step), key=key,
        help=option.help, on_change=take, args=(name, form),
    )  # fmt: skip


def draw_target() -> None:
    """Draw the field of the device or the GPU."""
    names = {target: words.removesuffix(SIMULATED) for target, words in target_options().items()}
    target, key = setup_values()["target"], field_key(TRAINED_FORM, "target")
    show(key, target)
    st.selectbox(
        "GPU",
        list(names),
        list(names).index(target),
        format_func=names.__getitem__,
        key=key,
        on_change=take_target,
        help="On a device of this machine, real training steps are measured. A GPU of the "
        "catalogue is simulated.",
    )


def draw_device(form: Form) -> None:
    """Draw the field of the device, for a page that only measures."""
    device, key = current_device(), field_key(form, "device")
    names = {name: words.removeprefix(_HERE) for name, words in local_devices()}
    show(key, device)
    st.selectbox(
        "Device",
        list(names),
        list(names).index(device),
        format_func=names.__getitem__,
        key=key,
        on_change=_take_device,
        args=(key,),
    )


def _take_device(key: str) -> None:
    device = st.session_state.get(key)
    if device in dict(local_devices()):
        set_value("target", device_target(device))


def draw_budget() -> None:
    """Draw the field of the memory budget, which all pages share."""
    draw_amount(TRAINED_FORM, BUDGET)


def draw_amount(form: Form, option: Option) -> None:
    """Draw the field of bytes as people write them, kept as they were entered."""
    value, key = form_values(form)[option.name], field_key(form, option.name)
    show(key, value)
    st.text_input(
        option.label,
        value,
        key=key,
        placeholder=plain(_EMPTY[option.name]),
        help=option.help,
        on_change=take_text,
        args=(option.name, form),
    )


@contextmanager
def more_settings(form: Form, names: Sequence[str]) -> Iterator[None]:
    """Draw within a part that opens, which says how many of its settings were changed."""
    changed = not_by_default(names, form)
    with (
        st.expander(
            f"More settings ({len(changed)} changed)" if changed else "More settings",
            icon=":material/tune:",
            key=field_key(form, "more"),
        ),
        st.grid(3, min_column_width=220),
    ):
        yield


def field_key(form: Form, name: str) -> str:
    """Return the name of the widget of a value."""
    return f"{form.key or 'setup'}_{name}"


def take(name: str, form: Form = TRAINED_FORM) -> None:
    """Take what the widget of an option was set to."""
    try:
        set_value(name, entered(form.options[name], field_key(form, name)), form)
    except UsageError:
        return  # the widget shows what holds again


def take_text(name: str, form: Form) -> None:
    """Take a text as it was entered."""
    text = st.session_state.get(field_key(form, name))
    set_value(name, text.strip() if isinstance(text, str) else "", form)


def take_model() -> None:
    """Take the model that was entered."""
    if model := entered_model():
        set_value("model", model)


def take_target() -> None:
    """Take the target that was chosen."""
    target = st.session_state.get(field_key(TRAINED_FORM, "target"))
    if target in target_options():
        set_value("target", target)
