"""Simulates, in the background, a current batch size that no trial covers."""

from __future__ import annotations

import streamlit as st

from memorymark.records.analysis import Analysis
from memorymark.ui.choices import outside_request
from memorymark.ui.engine import app_service

POLL_SECONDS = 0.5


def wait_for_estimate(analysis: Analysis) -> None:
    """Say that a simulation is on its way, and draw the page once more when it is there."""
    if _is_pending(analysis):
        _watch(analysis)


@st.fragment(run_every=POLL_SECONDS)
def _watch(analysis: Analysis) -> None:
    if not _is_pending(analysis):
        st.rerun()
    st.caption(f"Simulating batch size {analysis.current.batch_size:,}, outside the range tried …")


def _is_pending(analysis: Analysis) -> bool:
    if analysis.target.gpu_key is None or analysis.current.batch_size is None:
        return False
    return app_service().is_estimating(outside_request(analysis), analysis.current.batch_size)
