"""Draws charts."""

from __future__ import annotations

from typing import Any

import streamlit as st

from memorymark.report.charts.readable import readable


def draw_spec(spec: dict[str, Any], key: str) -> None:
    """Draw a Vega-Lite chart with its description as the alternative text."""
    drawn = {name: value for name, value in readable(spec).items() if name != "description"}
    st.vega_lite_chart(drawn, key=key, alt=spec["description"])
