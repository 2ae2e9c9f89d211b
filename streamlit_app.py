"""The app's entry: frame, sidebar, navigation.

Streamlit reads this file twice: its server imports it for `app`, and runs it for each visitor.
"""

from __future__ import annotations

import streamlit as st
from streamlit.starlette import App

from memorymark.ui.engine import beginning, need_settings
from memorymark.ui.frame import COMPARISON, LOGO, navigate, run_framed
from memorymark.ui.headers import MIDDLEWARE
from memorymark.ui.notices import draw_history_problem
from memorymark.ui.redraw import begin
from memorymark.ui.results.shown import lead_on, name_tab, note_shown, open_asked_run
from memorymark.ui.sidebar import draw_sidebar
from memorymark.ui.slots import drawing


def draw() -> None:
    """Draw the page that was asked for."""
    st.logo(LOGO, size="large")
    page = navigate()
    need_settings()
    with drawing():
        begin()
        lead_on(page)
        open_asked_run(page)
        note_shown(comparison=page.title == COMPARISON)
        name_tab(page)
        with st.sidebar:
            draw_sidebar(with_plan=page.title != COMPARISON)
        draw_history_problem()
        run_framed(page)


if __name__ == "__main__":
    draw()
else:
    app = App(__file__, middleware=MIDDLEWARE, lifespan=beginning)
