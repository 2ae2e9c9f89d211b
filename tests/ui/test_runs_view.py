"""The list of runs: what is ticked is what is opened and deleted, whatever is saved meanwhile."""

from pathlib import Path

import pytest
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest, app_test

from memorymark.service.history import RunHistory

ROOT = Path(__file__).parents[2]


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.setenv("MEMORYMARK_PROBE_FACTORY", "app_probe:make_probe")
    monkeypatch.setattr(PagesManager, "uses_pages_directory", False)
    monkeypatch.setattr(app_test, "PagesManager", type("Warm", (PagesManager,), {}))
    st.cache_resource.clear()
    yield AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=30)
    st.cache_resource.clear()


def save(model):
    return RunHistory().save("analysis", {"model_name": model}, request={"model": model})


def open_runs(app):
    app.run()
    app.switch_page("pages/runs.py").run()


def tick(app, *run_ids):
    """Tick rows as a browser does: by their numbers in the list that it shows."""
    shown = list(app.dataframe[0].value["Run"])
    rows = [shown.index(run_id) for run_id in run_ids]
    app.session_state[app.dataframe[0].key] = {
        "selection": {"rows": rows, "columns": [], "cells": []}
    }


def press(app, label):
    next(button for button in app.button if button.label.startswith(label)).click()
    app.run()
    assert not app.exception


def listed():
    return {run.model for run in RunHistory().list()}


def test_a_run_saved_between_tick_and_press_shifts_nothing(app):
    mine = save("mine")
    open_runs(app)
    tick(app, mine)
    app.run()
    save("somebody-else")
    press(app, "Delete selected")
    if any(button.label == "Delete" for button in app.button):
        press(app, "Delete")
    assert listed() == {"somebody-else"}
