"""The one place for what the theme in .streamlit/config.toml has no option for."""

from __future__ import annotations

import streamlit as st

# Streamlit writes some texts in the primary colour, and white on it in primary buttons. On the dark
# ground no colour has enough contrast for both. These texts take the colour of the text around.
_PRIMARY_TEXTS = (
    "[data-testid=stButtonGroup] [data-selected]",
    "[data-testid=stSliderThumbValue]",
)
_RULES = f"""
<style>
{", ".join(_PRIMARY_TEXTS)} {{ color: inherit !important; }}
</style>
"""


def draw_style() -> None:
    """Put the rules on the page; they take no room."""
    st.html(_RULES)
