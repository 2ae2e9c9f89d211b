"""Tells a page that draws itself anew, since something was ready, from one that somebody used."""

from __future__ import annotations

import streamlit as st

_OWN, _NOW, _ERRORS = "redrawn", "redrawing", "press_errors"


def redraw() -> None:
    """Draw the whole page once more, though nobody did anything."""
    st.session_state[_OWN] = True
    st.rerun()


def begin() -> None:
    """Forget what went wrong at the last press, once somebody did something else."""
    st.session_state[_NOW] = st.session_state.pop(_OWN, False)
    if not is_redrawing():
        st.session_state.pop(_ERRORS, None)


def is_redrawing() -> bool:
    """Say whether the page is drawn though nobody did anything."""
    return bool(st.session_state.get(_NOW))


def note_error(button: str, error: Exception) -> None:
    """Note what went wrong at a press, to be said beside the button."""
    st.session_state.setdefault(_ERRORS, {})[button] = str(error)


def noted_error(button: str) -> str | None:
    """Return what went wrong when a button was pressed last."""
    return st.session_state.get(_ERRORS, {}).get(button)
