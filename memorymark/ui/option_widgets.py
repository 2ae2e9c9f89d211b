"""A widget for each option of a record, by the type of its values."""

from __future__ import annotations

from typing import Any

import streamlit as st

from memorymark.records.option import Option, options_of

_BY_MODEL = "model default"
_PERCENT = 100.0


def draw_options(page: str, record: Any, *names: str) -> dict[str, Any]:
    """Draw widgets for options of a record, which gives their first values; return what is set.

    Args:
        page: Name of the page, which keeps the widgets of pages apart.
        record: A record with options.
        names: Names of the options, in the order in which they are drawn.
    """
    options = options_of(type(record))
    return {name: _draw(options[name], getattr(record, name), page) for name in names}


def _draw(option: Option, value: Any, page: str) -> Any:
    shared = {"key": f"{page}_{option.name}", "help": option.help, "persist_state": "session"}
    if option.choices:
        return _choice(option, value, shared)
    if option.kind is bool:
        return st.toggle(option.label, value, **shared)
    if option.is_share:
        return _share(option, value, shared)
    return st.number_input(option.label, *bounds(option), value, **shared)


def bounds(option: Option) -> tuple[Any, Any]:
    """Return the smallest and the largest number that an option takes, None without an end."""
    largest = None if option.largest is None else option.kind(option.largest)
    return option.kind(option.smallest), largest


def _choice(option: Option, value: Any, shared: dict[str, Any]) -> str | None:
    names = [*([_BY_MODEL] if option.default is None else []), *option.choices]
    chosen = st.selectbox(option.label, names, names.index(value or _BY_MODEL), **shared)
    return None if chosen == _BY_MODEL else chosen


def _share(option: Option, value: float, shared: dict[str, Any]) -> float:
    ends = [round(end * _PERCENT, 6) for end in (option.smallest, option.largest, value)]
    chosen = st.number_input(f"{option.label} (%)", *ends, step=1.0, format="%g", **shared)
    return chosen / _PERCENT
