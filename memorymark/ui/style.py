"""The one place for what the theme in .streamlit/config.toml has no option for."""

from __future__ import annotations

import streamlit as st


def draw_style() -> None:
    """Put rules of style on the page; they take no room.

    Streamlit writes some texts in the primary colour, and white on it in primary buttons. On the
    dark ground no colour has enough contrast for both: these texts take the colour of the text
    around them.

    A figure's name and the note below it are cut off where they are longer than a line; here they
    go on in the next, and so do choices beside one another.

    The buttons that start a run, and what comes of a press, stay in view, however much is unfolded
    above them.
    """
    st.html(
        """
        <style>
        [data-testid=stButtonGroup] [data-selected], [data-testid=stSliderThumbValue] {
            color: inherit !important;
        }
        [data-testid=stButtonGroup] [role=radiogroup] {
            flex-wrap: wrap;
        }
        [data-testid=stMetricLabel], [data-testid=stMetricLabel] *,
        [data-testid=stMetricDelta], [data-testid=stMetricDelta] * {
            white-space: normal !important;
            overflow: visible !important;
        }
        div:has(> .st-key-press_area) {
            position: sticky;
            bottom: 0;
            z-index: 5;
            max-height: 60vh;
            overflow-y: auto;
            padding: 0.4rem 0;
            backdrop-filter: blur(14px);
        }
        </style>
        """
    )
