"""The app of the tests of pages, in this process, and that of the tests with a browser, served."""

import re
from functools import partial
from pathlib import Path

import pytest
import streamlit as st
from app_server import browser, server
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest, app_test

from memorymark.service.access import AppService
from memorymark.service.execute import execute
from memorymark.ui import engine

APP = Path(__file__).parents[2] / "streamlit_app.py"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.setenv("MEMORYMARK_PROBE_FACTORY", "app_probe:make_probe")
    monkeypatch.setenv("MEMORYMARK_WORKLOADS", "own:too_big,own:broken")
    monkeypatch.setenv("MEMORYMARK_FOLLOW_UPS", "off")
    return tmp_path


@pytest.fixture
def warm(monkeypatch):
    """A server on which st.navigation was called before: AppTest forgets that on every run."""
    monkeypatch.setattr(PagesManager, "uses_pages_directory", False)
    monkeypatch.setattr(app_test, "PagesManager", type("Warm", (PagesManager,), {}))


@pytest.fixture
def app(home, warm, monkeypatch):
    """The app, with jobs in this process: no other has to be started for each test."""
    monkeypatch.setattr(engine, "AppService", partial(AppService, execute=execute))
    st.cache_resource.clear()
    st.cache_data.clear()
    yield AppTest.from_file(str(APP), default_timeout=30)
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture(scope="module")
def server_home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def address(server_home):
    with server(server_home) as address:
        yield address


@pytest.fixture(scope="module")
def chrome():
    """One browser for the tests of a module."""
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def window(chrome):
    """A window whose tabs share what was fetched once; each tab is a session of its own."""
    context = chrome.new_context(
        viewport={"width": 1280, "height": 900}, reduced_motion="reduce", color_scheme="light"
    )
    yield context
    context.close()


@pytest.fixture
def tab(window):
    """A tab that notes where it asks for anything elsewhere."""
    page = window.new_page()
    elsewhere = []
    page.on("request", lambda request: _note_elsewhere(elsewhere, request.url))
    yield page
    assert elsewhere == []
    page.close()


def _note_elsewhere(elsewhere, url):
    if not re.match(r"(http|ws)://127\.0\.0\.1|data:|blob:", url):
        elsewhere.append(url)
