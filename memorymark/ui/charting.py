"""Draws charts; caches those of Altair, which are slow to build."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import streamlit as st

from memorymark.report.charts.readable import readable


def draw_spec(spec: dict[str, Any], key: str) -> None:
    """Draw a Vega-Lite chart with its description as the alternative text."""
    drawn = {name: value for name, value in readable(spec).items() if name != "description"}
    st.vega_lite_chart(drawn, key=key, alt=spec["description"])


def draw_kept(make: Callable[..., Any], *given: Any, key: str, name: Hashable) -> None:
    """Draw a chart of Altair's, built once for a name.

    Args:
        make: Builds the chart.
        given: What it is built from.
        key: The chart's key on the page.
        name: Tells what it is built from apart.
    """
    draw_spec(_built(make.__qualname__, name, make, given), key)


@st.cache_resource(show_spinner=False, max_entries=256)
def _built(kind: str, name: Hashable, _make: Callable[..., Any], _given: tuple) -> dict[str, Any]:
    return _make(*_given).to_dict()
