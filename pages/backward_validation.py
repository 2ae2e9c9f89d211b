"""Backward-pass validation."""

from __future__ import annotations

import streamlit as st

from ui.frame import need_frame

need_frame()
st.title("Backward-pass validation", anchor=False)
