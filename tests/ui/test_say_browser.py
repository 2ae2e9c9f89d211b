"""Hostile text in a real browser: it reads literally, and nothing of it becomes an element."""

import os
import sys

import pytest
from app_server import ROOT, browser, served
from hostile import EVERYTHING, HOSTILE

from memorymark.report.visible import visible
from memorymark.ui.say import LONGEST

pytestmark = pytest.mark.browser
WAIT = 30_000
SCRIPT = """
import streamlit as st
from hostile import EVERYTHING, HOSTILE
from memorymark.ui import say
from memorymark.ui.say import plain

for number, text in enumerate(HOSTILE):
    with st.container(key=f"text{number}"):
        say.line("{}", text)
with st.container(key="everything"):
    say.heading("{}", EVERYTHING)
    say.caption("{}", EVERYTHING)
    say.info("{}", EVERYTHING)
    say.warning("{}", EVERYTHING)
    say.error("{}", EVERYTHING)
    say.badge(EVERYTHING, icon=":material/error:", color="red")
    say.step("{}", EVERYTHING, is_running=False)
    say.progress(0.5, "{}", EVERYTHING)
    say.metric(EVERYTHING, EVERYTHING, EVERYTHING)
    st.button(plain(EVERYTHING), disabled=True)
    st.text_input(plain(EVERYTHING))
    with st.expander(plain(EVERYTHING)):
        say.line("- {}", EVERYTHING)
with st.container(key="end"):
    say.line("**{}** is the end", "this")
"""
READ = """
key => [...document.querySelectorAll(`.st-key-${key} [data-testid=stMarkdownContainer],
                                      .st-key-${key} [data-testid=stCaptionContainer]`)].map(
  each => ({
    said: each.textContent,
    tags: [...new Set([...each.querySelectorAll('*')].map(one => one.tagName.toLowerCase()))],
    marked: each.querySelectorAll(
        'a, img, svg, strong, em, del, code, pre, input, table, blockquote, hr, script, b, i, ' +
        '[class*=katex], [class*=stMarkdown], [style*=color], [role=img]').length,
  }))
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("said")
    (folder / "said.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "streamlit", "run", str(folder / "said.py")]
    command += ["--server.headless", "true", "--browser.gatherUsageStats", "false"]
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    options = ("--server.address", "--server.port")
    variables = {**os.environ, "PYTHONPATH": path}
    with browser() as opened, served(command, options, folder, cwd=folder, env=variables) as url:
        page = opened.new_page()
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(url)
        page.get_by_text("is the end").wait_for(timeout=WAIT)
        yield page


def as_read(text):
    """What a reader sees of a text: without the marks that take no room, spaces run together."""
    shown = visible(text).strip()
    cut = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
    return " ".join(cut.split())


def said(element):
    return " ".join(element["said"].replace("\u2060", "").split())


def test_each_text_reads_literally_and_is_no_element(page):
    for number, text in enumerate(HOSTILE):
        (element,) = page.evaluate(READ, f"text{number}") or [{"said": "", "tags": [], "marked": 0}]
        assert said(element) == as_read(text)
        assert set(element["tags"]) <= {"p", "span"}, (text, element["tags"])
        assert element["marked"] == 0, text


def test_every_element_draws_all_of_it_literally(page):
    elements = page.evaluate(READ, "everything")
    assert len(elements) >= 14
    whole = [each for each in elements if said(each).endswith(as_read(EVERYTHING))]
    assert len(whole) >= 13
    badges = [each for each in elements if each["marked"]]
    assert len(badges) == 1  # whose ground and icon are ours
    assert not set(badges[0]["tags"]) - {"p", "span"}


def test_our_own_markup_is_drawn(page):
    (element,) = page.evaluate(READ, "end")
    assert "strong" in element["tags"]


def test_nothing_is_asked_for_elsewhere(page):
    assert [url for url in page.asked if "evil" in url or ":9/" in url] == []
