"""The frame around every page: title, navigation, sidebar.

Note on cold deep links. A folder named pages/ switches Streamlit's older page mode on until
st.navigation is called once in the process. On a cold server the first deep link therefore
runs the page alone. Each page asks `need_frame` first: where the frame is missing it calls
st.navigation, which ends the older mode, and starts over.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import Page

from memorymark.ui.option_widgets import begin_widgets, end_widgets
from memorymark.ui.style import draw_style

ANALYSIS, COMPARISON = "Analysis", "Cost comparison"
LOGO = str(Path(__file__).with_name("logo.svg"))
_ICON = str(Path(__file__).with_name("icon.svg"))
_FRAMED = "framed"


def pages() -> dict[str, Page]:
    """Return the pages by their names, in the order of the navigation."""
    return {
        "analysis": st.Page(
            "pages/analysis.py", title=ANALYSIS, icon=":material/monitoring:", default=True
        ),
        "levers": st.Page("pages/levers.py", title="Levers", icon=":material/tune:"),
        "backward": st.Page(
            "pages/backward_validation.py",
            title="Backward-pass validation",
            icon=":material/rule:",
        ),
        "comparison": st.Page(
            "pages/cost_comparison.py", title=COMPARISON, icon=":material/payments:"
        ),
        "sessions": st.Page("pages/sessions.py", title="Sessions", icon=":material/forum:"),
        "generate": st.Page("pages/generate.py", title="Generate", icon=":material/edit_note:"),
        "training": st.Page(
            "pages/training.py", title="Training", icon=":material/model_training:"
        ),
        "runs": st.Page("pages/runs.py", title="Runs", icon=":material/history:"),
    }


def navigate() -> Page:
    """Set up the navigation and return the page that was asked for.

    The icon is a file of the app and comes first: without it the browser fetches the icon of
    the page from a font server.
    """
    st.set_page_config(page_title="MemoryMark", page_icon=_ICON, layout="wide")
    draw_style()
    page = st.navigation(list(pages().values()))
    st.set_page_config(page_title=f"{page.title} · MemoryMark")
    return page


def run_framed(page: Page) -> None:
    """Run a page within the frame; the page sees that it is."""
    st.session_state[_FRAMED] = True
    begin_widgets(page.title)
    try:
        page.run()
        end_widgets()
    finally:
        st.session_state[_FRAMED] = False


def is_page_drawn() -> bool:
    """Say whether the whole page is being drawn, and not one fragment of it."""
    return bool(st.session_state.get(_FRAMED))


def need_frame() -> None:
    """Start over with the frame where a page runs without it."""
    if not st.session_state.get(_FRAMED):
        navigate()
        st.rerun()
