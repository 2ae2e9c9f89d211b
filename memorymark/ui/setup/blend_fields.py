"""The fields of a second model that writes with the first, and of its share."""

from __future__ import annotations

from functools import cache

import streamlit as st

from memorymark.errors import UsageError
from memorymark.records.config import Task
from memorymark.records.generation_plan import HALF
from memorymark.ui.engine import app_service
from memorymark.ui.option_widgets import show
from memorymark.ui.say import plain
from memorymark.ui.setup.current import asked_names, form_values, set_value
from memorymark.ui.setup.form_fields import field_key
from memorymark.ui.setup.model_field import choices_of
from memorymark.ui.setup.setup_record import BLEND, BLEND_SHARE, GENERATION_FORM
from memorymark.workloads.known_models import model_choices, task_of

_SECOND, _SHARE = (field_key(GENERATION_FORM, each.name) for each in (BLEND, BLEND_SHARE))
_STEP = 0.01
_NONE = ""  # a choice, since a field that shows one cannot be emptied


def draw_blend() -> None:
    """Draw the second model, and its share where there is one: of language models alone."""
    if BLEND.name not in asked_names(GENERATION_FORM):
        return
    values = form_values(GENERATION_FORM)
    second, share = values[BLEND.name] or None, float(values[BLEND_SHARE.name])
    with st.grid(3, min_column_width=220) as fields:
        with fields.cell(column_span=2):
            _draw_second(second)
        if second is not None:
            show(_SHARE, share)
            st.slider(
                plain(BLEND_SHARE.label), 0.0, 1.0, share, _STEP, key=_SHARE,
                help=plain(BLEND_SHARE.help), on_change=_take_share,
            )  # fmt: skip


def _draw_second(second: str | None) -> None:
    names = {_NONE: "none", **choices_of(_writers())}
    own = app_service().settings.workloads
    models = list(dict.fromkeys([*names, *own, *([second] if second else [])]))
    show(_SECOND, second or _NONE)
    st.selectbox(
        plain(BLEND.label),
        models,
        models.index(second or _NONE),
        key=_SECOND,
        format_func=lambda name: names.get(name, name),
        filter_mode="contains",
        accept_new_options=True,
        on_change=_take_second,
        help=plain(BLEND.help),
    )


@cache
def _writers() -> tuple[str, ...]:
    """Return the models of the list that write text after text."""
    return tuple(name for name in model_choices() if task_of(name) is Task.CAUSAL_LM)


def _take_second() -> None:
    second = (st.session_state.get(_SECOND) or "").strip() or None
    if second is None:
        set_value(BLEND_SHARE.name, HALF, GENERATION_FORM)
    set_value(BLEND.name, second, GENERATION_FORM)


def _take_share() -> None:
    try:
        share = BLEND_SHARE.check(st.session_state.get(_SHARE))
    except UsageError:
        return  # the widget shows what holds again
    set_value(BLEND_SHARE.name, share, GENERATION_FORM)
