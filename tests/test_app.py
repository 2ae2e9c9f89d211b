"""Each page of the app, with a probe that answers at once."""

import time
from pathlib import Path

import pytest

pytest.importorskip("streamlit")
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest, app_test

from memorymark.runs import RunHistory

ROOT = Path(__file__).parents[1]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.setenv("MEMORYMARK_PROBE_FACTORY", "app_probe:make_probe")
    monkeypatch.setenv("MEMORYMARK_WORKLOADS", "own:too_big,own:broken")
    return tmp_path


@pytest.fixture
def warm(monkeypatch):
    """A server on which st.navigation was called before: AppTest forgets that on every run."""
    monkeypatch.setattr(PagesManager, "uses_pages_directory", False)
    monkeypatch.setattr(app_test, "PagesManager", type("Warm", (PagesManager,), {}))


@pytest.fixture
def app(home, warm):
    st.cache_resource.clear()
    st.cache_data.clear()
    yield AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=30)
    st.cache_resource.clear()


def run_to_end(app, button):
    """Press a button that starts a job and draw the page until the job has ended."""
    next(b for b in app.button if b.label == button).click()
    app.run()
    end = time.monotonic() + 20
    while any(run.status.is_active for run in RunHistory().list()):
        assert time.monotonic() < end, "the job did not end"
        time.sleep(0.01)
    return app.run()


def metric(app, label):
    return next(m for m in app.metric if m.label == label)


def subheaders(app):
    return [s.value for s in app.subheader]


def test_first_paint_says_what_to_do(app):
    app.run()
    assert not app.exception
    assert app.title[0].value == "Analysis"
    assert "Press Analyze" in app.info[0].value


def test_one_click_gives_an_analysis(app):
    app.run()
    run_to_end(app, "Analyze")
    assert not app.exception
    assert "trains best at batch 608 (at most 1,216)" in subheaders(app)[0]
    assert metric(app, "Max batch").value == "1,216"
    assert "saves" in subheaders(app)[0]


def test_sliders_redraw_from_the_trials_that_exist(app):
    app.run()
    run_to_end(app, "Analyze")
    before = metric(app, "Saved a run").value
    app.slider(key="side_price_per_hour").set_value(12.9).run()
    assert not app.exception
    assert metric(app, "Saved a run").value != before
    app.slider(key="side_current_batch_size").set_value(400).run()
    assert metric(app, "Current batch").value == "400"
    assert "between two trials" in metric(app, "Current batch").delta
    assert len(RunHistory().list()) == 1


def test_nothing_fits_says_what_to_change(app):
    app.run()
    app.selectbox(key="analysis_model").set_value("own:too_big")
    run_to_end(app, "Analyze")
    assert not app.exception
    assert "not even batch 1" in subheaders(app)[0]
    assert "Turn gradient checkpointing on." in list(app.dataframe[0].value["Change"])


def test_failed_job_says_why(app):
    app.run()
    app.selectbox(key="analysis_model").set_value("own:broken")
    run_to_end(app, "Analyze")
    assert not app.exception
    assert "it is broken" in app.error[0].value


def test_bad_budget_is_said(app):
    app.run()
    app.text_input(key="analysis_budget").set_value("lots")
    next(b for b in app.button if b.label == "Analyze").click()
    app.run()
    assert "memory budget is 'lots'" in app.error[0].value


def test_unknown_run_in_a_link_is_said(app):
    app.query_params["run"] = "nothere"
    app.run()
    assert not app.exception
    assert "no run 'nothere'" in app.warning[0].value
