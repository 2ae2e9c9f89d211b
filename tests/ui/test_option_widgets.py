"""Widgets show what holds, though a page is drawn in part, or another page is drawn."""

import pytest
from streamlit.testing.v1 import AppTest

from memorymark.ui import option_widgets


@pytest.fixture
def state(monkeypatch):
    state = {}
    monkeypatch.setattr(option_widgets.st, "session_state", state)
    return state


def draw(state, page, value, *, to_its_end=True):
    """Draw a page with one widget; return whether the browser is told what it shows."""
    told = {}
    option_widgets.begin_widgets(page)
    spied = Spy(state, told)
    option_widgets.st.session_state = spied
    option_widgets.show("field", value)
    option_widgets.st.session_state = state
    if to_its_end:
        option_widgets.end_widgets()
    return "field" in told


class Spy(dict):
    """Session state that notes what is set in it."""

    def __init__(self, state, told):
        super().__init__(state)
        self.state, self.told = state, told

    def __setitem__(self, key, value):
        self.told[key] = self.state[key] = value
        super().__setitem__(key, value)


def test_a_value_is_told_once(state):
    assert draw(state, "Analysis", 16)
    assert not draw(state, "Analysis", 16)
    assert draw(state, "Analysis", 32)


def test_a_page_that_was_broken_off_tells_it_again(state):
    assert draw(state, "Analysis", 16, to_its_end=False)
    assert draw(state, "Analysis", 16)
    assert draw(state, "Analysis", 32, to_its_end=False)
    assert draw(state, "Analysis", 32)


def test_another_page_has_a_widget_of_its_own(state):
    assert draw(state, "Analysis", 16)
    assert draw(state, "Cost comparison", 16)
    assert draw(state, "Analysis", 16)


def _text() -> None:
    import streamlit as st

    from memorymark.records.config import TrainingConfig
    from memorymark.records.option import options_of
    from memorymark.ui.option_widgets import draw_option, entered

    option = options_of(TrainingConfig)["freeze"]
    draw_option(option, "freeze", st.session_state.get("kept"))
    st.session_state["entered"] = entered(option, "freeze")


def test_a_text_is_entered_and_an_empty_one_is_none():
    page = AppTest.from_function(_text)
    page.session_state["kept"] = "*embed*"
    page.run(timeout=30)
    assert page.text_input(key="freeze").value == "*embed*"
    assert page.session_state["entered"] == "*embed*"
    page.session_state["kept"] = None
    page.run(timeout=30)
    assert page.session_state["entered"] is None
