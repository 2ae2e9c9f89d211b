"""The app in a real browser: cold links, jobs that live on, screenshots of each page."""

import os
import re
import signal
import subprocess
import time

import pytest
from app_server import WAIT, server, settled
from contrast import faint_text
from screens import (
    THEMES,
    Screen,
    assert_chart_words_apart,
    assert_fits_width,
    calm,
    every_theme,
    every_width,
    set_theme,
    shoot,
    show,
)

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.request import Request, RequestKind
from memorymark.service.execute import execute
from memorymark.service.history import RunHistory
from memorymark.settings import load_settings

pytestmark = pytest.mark.browser
PAGES = {
    "": "Analysis",
    "backward_validation": "Backward-pass validation",
    "levers": "Levers",
    "cost_comparison": "Cost comparison",
    "sessions": "Sessions",
    "generate": "Generate",
    "training": "Training",
    "runs": "Runs",
}
# One of the settings of pages that train nothing.
SETTINGS = {"sessions": ("spinbutton", "Context"), "generate": ("slider", "New tokens"),
            "training": ("spinbutton", "Learning rate")}  # fmt: skip
PATHS = {
    "analysis": "",
    "backward": "backward_validation",
    "comparison": "cost_comparison",
    "levers": "levers",
}


@pytest.fixture(scope="module")
def runs(server_home):
    """One finished run of each kind, made as the app's jobs make them."""
    environment = {
        "MEMORYMARK_HOME": str(server_home),
        "MEMORYMARK_PROBE_FACTORY": "app_probe:make_probe",
    }
    settings, history = load_settings(environment), RunHistory(server_home / "runs.sqlite3")
    options = AnalysisOptions(price_per_hour=1.29, dataset_size=1_000_000, runs_per_year=12)
    asked = {
        "analysis": Request(RequestKind.ANALYSIS, "bert", gpu="a100-40gb", options=options),
        "backward": Request(RequestKind.BACKWARD, "bert", gpu="a100-40gb", batch_size=64),
        "levers": Request(RequestKind.LEVERS, "bert", gpu="a100-40gb", options=options),
        "compile": Request(RequestKind.COMPILE, "bert", device="cpu", batch_size=64),
        "comparison": Request(
            RequestKind.COMPARISON,
            "bert",
            options=AnalysisOptions(dataset_size=1_000_000, epochs=1),
        ),
    }
    return {
        name: history.save(name, _record(request, settings), request=request.to_dict())
        for name, request in asked.items()
    }


def _record(request, settings):
    return execute(request, settings=settings).to_dict()


def choose_model(page, name):
    box = page.get_by_role("combobox", name="Model")
    box.click()
    box.fill(name)
    box.press("Enter")


@pytest.mark.parametrize("path", PAGES)
def test_cold_deep_link_opens_the_page_in_its_frame(path, tmp_path, tab):
    with server(tmp_path) as cold:
        tab.goto(f"{cold}/{path}")
        settled(tab)
        assert tab.get_by_role("heading", level=1).inner_text() == PAGES[path]
        assert tab.title() == f"{PAGES[path]} · MemoryMark"
        if path != "runs":  # which has no settings
            role, name = SETTINGS.get(path, ("spinbutton", "Current batch"))
            tab.get_by_role(role, name=name).first.wait_for(timeout=WAIT)
        assert tab.locator("[data-testid=stSidebarNav] a").count() == len(PAGES)


def test_run_link_opens_on_a_cold_server(server_home, runs, tab):
    with server(server_home) as cold:
        tab.goto(f"{cold}/?run={runs['backward']}")
        tab.get_by_text("What a tool that only runs the forward pass").wait_for(timeout=WAIT)
        assert tab.url.endswith(f"/backward_validation?run={runs['backward']}")


def test_running_job_survives_and_is_seen_by_others(address, server_home, chrome, tab):
    tab.goto(address)
    settled(tab)
    choose_model(tab, "own:held")
    tab.get_by_role("button", name="Analyze").click()
    tab.get_by_text("batch 8: running").wait_for(timeout=WAIT)
    link = tab.url
    run_id = re.search(r"run=(\w+)", link).group(1)

    price = tab.get_by_role("slider", name="GPU price")
    price.focus()
    price.press("ArrowRight")
    tab.get_by_text(f"Run {run_id}: analysis").wait_for(timeout=WAIT)
    tab.get_by_role("link", name="Runs").click()
    tab.get_by_text(f"{run_id} · analysis of own:held").wait_for(timeout=WAIT)

    other = chrome.new_context().new_page()
    other.goto(link)
    other.get_by_text(f"Run {run_id}: analysis").wait_for(timeout=WAIT)
    other.get_by_text("batch 8: running").wait_for(timeout=WAIT)
    tab.close()
    (server_home / "go").touch()
    other.get_by_text("Export", exact=True).wait_for(timeout=WAIT)
    assert other.url == link
    assert "Recommended: " in other.get_by_role("heading", level=3).first.inner_text()
    other.context.close()


def test_a_run_that_hangs_is_cancelled_and_the_next_one_runs(tmp_path, tab):
    with server(tmp_path) as hung:
        tab.goto(hung)
        settled(tab)
        choose_model(tab, "own:held")  # nobody lets it go
        tab.get_by_role("button", name="Analyze").click()
        tab.get_by_text("batch 8: running").wait_for(timeout=WAIT)
        tab.get_by_role("button", name="Cancel").click()
        tab.get_by_role("button", name="Cancelling").wait_for(timeout=WAIT)
        tab.get_by_text("This run was cancelled").wait_for(timeout=WAIT)
        choose_model(tab, "bert")
        tab.get_by_role("button", name="Analyze").click()
        tab.get_by_text("Export", exact=True).wait_for(timeout=WAIT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_stops_leaves_no_process(number, tmp_path, tab):
    with server(tmp_path) as stopped:
        tab.goto(stopped)
        settled(tab)
        choose_model(tab, "own:held")
        tab.get_by_role("button", name="Analyze").click()
        tab.get_by_text("batch 8: running").wait_for(timeout=WAIT)
        (file,) = tmp_path.glob("server-*.pid")
        pid = int(file.read_text())
        left = {pid, *children(pid)}
        assert len(left) >= 3  # the server, a worker, and what ends it
        tab.goto("about:blank")
        os.kill(pid, number)
        end = time.monotonic() + 20
        while left & running().keys():
            assert time.monotonic() < end, left & running().keys()
            time.sleep(0.1)


def children(pid):
    return [child for child, parent in running().items() if parent == pid]


def running():
    """The processes that there are, by number, with their parents'; none that only waits."""
    words = ["ps", "-A", "-o", "pid=,ppid=,stat="]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = (line.split() for line in lines)
    return {int(pid): int(parent) for pid, parent, state in rows if state[0] != "Z"}


def test_page_change_and_back_keeps_the_run_that_was_shown(address, runs, tab):
    tab.goto(f"{address}/?run={runs['analysis']}")
    tab.get_by_text("Export", exact=True).wait_for(timeout=WAIT)
    tab.get_by_role("link", name="Cost comparison").click()
    tab.get_by_text("Current and recommended batch").wait_for(timeout=WAIT)
    tab.get_by_role("link", name="Analysis").click()
    tab.get_by_text("Export", exact=True).wait_for(timeout=WAIT)
    assert runs["analysis"] in tab.url


def test_code_of_a_visitors_own_is_refused(address, tab):
    tab.goto(address)
    settled(tab)
    choose_model(tab, "os:system")
    tab.get_by_role("button", name="Analyze").click()
    error = tab.locator("[data-testid=stAlertContentError]")
    error.get_by_text("would run custom code").wait_for(timeout=WAIT)


def test_what_is_ticked_is_deleted_though_a_run_is_saved_meanwhile(tmp_path, tab):
    history = RunHistory(tmp_path / "runs.sqlite3")
    other, mine = (save_stub(history, name) for name in ("other", "mine"))
    with server(tmp_path) as address:
        tab.goto(f"{address}/runs")
        settled(tab)
        tick_row(tab, 0)
        somebodys = save_stub(history, "somebodys")
        tab.get_by_role("button", name="Delete selected (1)").click()
        tab.get_by_text(f"{mine} analysis of mine").wait_for(timeout=WAIT)
        tab.get_by_role("button", name="Delete", exact=True).click()
        tab.get_by_text("Deleted 1 run.").wait_for(timeout=WAIT)
        assert {run.run_id for run in history.list()} == {other, somebodys}
        settled(tab)
        assert tab.get_by_role("button", name="Delete selected").count() == 0
        # The tick is sent by a browser that shows the older list.
        tick_row(tab, 1)
        tab.get_by_role("button", name="Delete selected (1)").wait_for(timeout=WAIT)
        newest = save_stub(history, "newest")
        tick_row(tab, 0)
        tab.get_by_role("button", name="Delete selected (2)").wait_for(timeout=WAIT)
        settled(tab)  # the buttons before it go, and it moves
        tab.get_by_role("button", name="Delete selected (2)").click()
        tab.get_by_role("button", name="Delete", exact=True).click()
        tab.get_by_text("Deleted 2 runs.").wait_for(timeout=WAIT)
        assert {run.run_id for run in history.list()} == {newest}
        tab.get_by_role("button", name="Undo").click()
        tab.get_by_text("Deleted 2 runs.").wait_for(state="detached", timeout=WAIT)
        assert {run.run_id for run in history.list()} == {other, somebodys, newest}


def test_the_deleted_runs_stay_open_while_one_is_chosen(tmp_path, tab):
    """Though what was said above them goes meanwhile."""
    history = RunHistory(tmp_path / "runs.sqlite3")
    mine = save_stub(history, "mine")
    save_stub(history, "other")
    with server(tmp_path) as address:
        tab.goto(f"{address}/runs")
        settled(tab)
        tick_row(tab, 1)
        tab.get_by_role("button", name="Delete selected (1)").click()
        history.delete(mine)
        tab.get_by_role("button", name="Delete", exact=True).click()
        tab.get_by_text("in this history any more").wait_for(timeout=WAIT)
        settled(tab)
        tab.get_by_text("Deleted runs (1)").click()
        tab.wait_for_timeout(500)  # it unfolds
        tab.get_by_role("combobox", name="Runs").click()
        tab.get_by_role("option", name=mine).click()
        tab.keyboard.press("Escape")
        tab.get_by_text("in this history any more").wait_for(state="detached", timeout=WAIT)
        tab.get_by_role("button", name="Bring back").click(timeout=WAIT)
        tab.get_by_text("Deleted runs (").wait_for(state="detached", timeout=WAIT)
        assert {run.model for run in history.list()} == {"mine", "other"}


def save_stub(history, model):
    return history.save("analysis", {"model_name": model}, request={"model": model})


def tick_row(page, row):
    """Tick a row of the table, which the browser draws as a picture: 35 pixels a row."""
    table = page.get_by_test_id("stDataFrame")
    table.wait_for(timeout=WAIT)
    table.scroll_into_view_if_needed()
    table.click(position={"x": 15, "y": 35 * (row + 1) + 17})


@every_width
@pytest.mark.parametrize(
    "name", ["analysis", "backward", "compile", "comparison", "levers", "runs"]
)
def test_each_page_fits_its_screen_and_can_be_read(name, width, address, runs, tab):
    """In both themes, as the pictures in .screenshots/ show."""
    run = f"?run={runs[name]}" if name in runs else ""
    path = {**PATHS, "compile": "backward_validation"}.get(name, name)
    show(tab, f"{address}/{path}{run}", Screen(width, "light"))
    for theme in THEMES:
        set_theme(tab, theme)
        assert_fits_width(tab)
        assert faint_text(tab) == []
        assert_chart_words_apart(tab)
        shoot(tab, name)


@every_theme
def test_what_opens_can_be_read(theme, address, tab):
    """Folded parts, a list of choices, a help text, a pressed button, an error."""
    show(tab, address, Screen(1280, theme))
    for part in tab.locator("[data-testid=stExpander] summary").all():
        part.click()
    calm(tab)
    assert faint_text(tab) == []
    tab.get_by_role("combobox", name="Precision").click()
    tab.get_by_role("option").first.wait_for(timeout=WAIT)
    assert faint_text(tab) == []
    tab.keyboard.press("Escape")
    choose_model(tab, "os:system")
    tab.get_by_role("button", name="Analyze").click()
    tab.get_by_text("would run custom code").last.wait_for(timeout=WAIT)
    tab.get_by_role("button", name="Analyze").hover()
    calm(tab)
    assert faint_text(tab) == []
