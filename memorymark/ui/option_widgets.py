"""A widget for each option of a record, by the type of its values.

What an option is set to is kept elsewhere: a widget shows it, and is read when it was changed.

Note on first paint. A browser fetches the code of each kind of widget when it draws the first one,
and an order to show a value is carried out once, when the widget is there. If the page was drawn
again meanwhile, the order of the first drawing is gone: the widget begins with its own default, and
the next press sends that. So the value that holds is the default of each widget too. A number that
may be emptied has none as its default: it is told what to show until somebody uses the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

import streamlit as st

from memorymark.records.option import Option
from memorymark.ui.redraw import is_redrawing
from memorymark.ui.say import plain

_BY_MODEL = "model default"
_LEFT_OPEN = {
    "lora_rank": "no LoRA",
    "grad_clip": "not clipped",
    "effective_batch_size": "not asked for",
    "batch_size": "auto: by an analysis",
    "effective_batch": "as the batch",
    "steps": "not given",
    "epochs": "1, where no length is given",
    "tokens": "not given",
    "eval_every": "a tenth of all",
    "patience": "never stops early",
    "weight_decay": "optimizer default",
    "beta2": "optimizer default",
    "pause_layer": "no pause",
    "top_k": "all",
    "top_p": "all",
}
_INSTALLED = {"transformers_version": "transformers"}  # whose version holds where none is given
_PERCENT = 100.0
_SMALL = 0.05
_NOTHING = object()
_PAGE, _DRAWN, _SHOWN = "page_drawn", "widgets_drawn", "widgets_shown"
_UNUSED = "page_unused"  # whether nobody has used the page since it was opened
_NONE: Mapping[str, str] = {}


def draw_option(
    option: Option,
    key: str,
    value: Any,
    reasons: Mapping[str, str] = _NONE,
    label: str | None = None,
    **calls: Any,
) -> None:
    """Draw the widget of an option.

    Args:
        option: The option.
        key: Name of the widget.
        value: What it is set to.
        reasons: Why some of its values cannot be chosen; a choice that is set stays.
        label: What it is called here, where it has a shorter name.
        calls: What is called when it was changed, as Streamlit takes it.
    """
    shown = _as_shown(option, value)
    show(key, shown, is_optional=option.default is None)
    said = " ".join([option.help, *reasons.values()])
    title = label or option.label
    if option.choices:
        names = [*([_BY_MODEL] if option.default is None else []), *option.choices]
        open_ones = [name for name in names if name not in reasons or name == str(value)]
        first = open_ones.index(shown) if shown in open_ones else 0
        st.selectbox(plain(title), open_ones, first, key=key, help=plain(said), **calls)
    elif option.kind is bool:
        off = bool(reasons) and not value
        st.toggle(plain(title), shown, key=key, help=plain(said), disabled=off, **calls)
    elif option.kind is str:
        st.text_input(
            plain(title),
            shown,
            key=key,
            help=plain(said),
            placeholder=plain(_installed(option)),
            **calls,
        )
    else:
        by_model = _LEFT_OPEN.get(option.name, _BY_MODEL) if option.default is None else ""
        ends, share = bounds(option), {}
        if option.is_share:
            ends = tuple(round(end * _PERCENT, 6) for end in (option.smallest, option.largest))
            title, share = f"{title} (%)", {"step": 1.0, "format": "%g"}
        elif option.kind is float and 0 < (option.default or 1) < _SMALL:
            share = {"step": option.default / 10, "format": "%g"}  # two decimals would show 0.00
        st.number_input(
            plain(title),
            *ends,
            None if option.default is None else shown,
            key=key,
            help=plain(said),
            placeholder=plain(by_model),
            **share,
            **calls,
        )


def show(key: str, value: Any, *, is_optional: bool = False) -> None:
    """Let a widget show a value; what it shows already is left, with what is being typed in it.

    On another page it is another widget of the same key, which shows nothing yet. A page whose
    drawing was broken off may have reached the browser, or not: what it showed is shown again.
    """
    drawn = st.session_state.get(_PAGE), value
    is_shown = st.session_state.get(_SHOWN, {}).get(key) == drawn
    is_late = is_optional and st.session_state.get(_UNUSED, True)
    if not is_shown or is_late or st.session_state.get(key, _NOTHING) != value:
        st.session_state[key] = value
    st.session_state.setdefault(_DRAWN, {})[key] = drawn


def begin_widgets(page: str) -> None:
    """Note which page is about to be drawn."""
    is_same = st.session_state.get(_PAGE) == page
    is_redrawn = is_redrawing() and st.session_state.get(_UNUSED, True)
    st.session_state[_UNUSED] = not is_same or is_redrawn
    st.session_state[_PAGE], st.session_state[_DRAWN] = page, {}


def end_widgets() -> None:
    """Note that the page was drawn to its end, and so is in the browser."""
    st.session_state[_SHOWN] = st.session_state[_DRAWN]


def entered(option: Option, key: str) -> Any:
    """Return what a widget was set to, as a record keeps it.

    Raises:
        UsageError: It is not accepted: the limits of widgets hold in the browser only.
    """
    value = st.session_state.get(key)
    if (option.choices and value == _BY_MODEL) or (option.default is None and value == ""):
        value = None
    if option.is_share and isinstance(value, int | float):
        value = value / _PERCENT
    return option.check(value)


def bounds(option: Option) -> tuple[Any, Any]:
    """Return the smallest and the largest number that an option takes, None without an end."""
    largest = None if option.largest is None else option.kind(option.largest)
    return option.kind(option.smallest), largest


@cache
def _installed(option: Option) -> str:
    """Return the version that holds where an option of versions is left open; else nothing."""
    package = _INSTALLED.get(option.name)
    try:
        return "" if package is None else f"{metadata.version(package)}, installed"
    except metadata.PackageNotFoundError:
        return ""


def _as_shown(option: Option, value: Any) -> Any:
    if option.choices:
        return _BY_MODEL if value is None else str(value)
    if option.kind is str:
        return value or ""
    return value * _PERCENT if option.is_share and value is not None else value
