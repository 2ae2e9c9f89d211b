"""What a visitor does first, on every screen: three widths, in light and dark."""

import re

import pytest
from app_server import WAIT, server, settled
from contrast import faint_text
from fakes import FakeProbe, FakeWorkload, simulated_target
from playwright.sync_api import expect
from screens import (
    THEMES,
    Screen,
    assert_chart_words_apart,
    assert_fits_width,
    assert_in_view,
    calm,
    every_width,
    set_theme,
    show,
)

from memorymark.analysis.analyze import AnalysisOptions, analyze_on
from memorymark.errors import Cancelled
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken
from memorymark.records.request import Request, RequestKind
from memorymark.records.trial import Source
from memorymark.service.history import RunHistory

pytestmark = pytest.mark.browser
BAR = "[class*=st-key-memory_bar] div[role=img]"
# What a table says to a screen reader, row by row.
_ROWS = """() => [...document.querySelectorAll('[data-testid=stDataFrame] tbody tr')].map(
    row => [...row.querySelectorAll('td')].map(cell => cell.textContent)
)"""
_HEAD, _ROW = 35, 35  # pixels


@pytest.fixture(scope="module")
def address(server_home):
    """A server that begins the first run when it starts."""
    with server(server_home, MEMORYMARK_FIRST_RUN="on") as address:
        yield address


@pytest.fixture(scope="module")
def kept(server_home):
    """Finished analyses by name; `fine` gains nothing from another batch, `stopped` was."""
    config = TrainingConfig(precision="amp-fp16", seq_len=256)
    long = TrainingConfig(
        seq_len=512, optimizer="adafactor", gradient_checkpointing=True, gradient_accumulation=4
    )
    slow = {"overhead_seconds": 0.0, "target": simulated_target()}
    return {
        "long": save(server_home, analysis(long), long),
        "other": save(server_home, analysis(config), config),
        "plain": save(server_home, analysis(TrainingConfig()), TrainingConfig()),
        "fine": save(server_home, analysis(TrainingConfig(), **slow), TrainingConfig()),
        "stopped": save(server_home, stopped(), TrainingConfig()),
    }


def analysis(config, **probe):
    probe = FakeProbe(**{"target": simulated_target(), **probe})
    return analyze_on(probe, FakeWorkload("gpt2"), config, AnalysisOptions(dataset_size=10**6))


def stopped():
    token = CancelToken()

    def cancel(event):
        if event.text.startswith("batch 704"):
            token.cancel()

    with pytest.raises(Cancelled) as stop:
        probe = FakeProbe(target=simulated_target())
        analyze_on(probe, FakeWorkload("gpt2"), TrainingConfig(), on_event=cancel, cancel=token)
    return stop.value.partial


def save(home, made, config):
    assert made.target.source is Source.SIMULATED
    request = Request(RequestKind.ANALYSIS, "gpt2", config, gpu="a100-40gb")
    history = RunHistory(home / "runs.sqlite3")
    return history.save("analysis", made.to_dict(), request=request.to_dict())


def enter(page, name, value):
    field = page.get_by_role("spinbutton", name=name)
    field.fill(str(value))
    field.press("Enter")


def find(page, address, width, text):
    show(page, f"{address}/runs", Screen(width, "light"))
    page.get_by_role("textbox", name="Search").fill(text)
    page.get_by_role("textbox", name="Search").press("Enter")
    page.wait_for_function(f"({_ROWS})().every(row => row.join().includes('{text}'))", timeout=WAIT)
    settled(page)
    calm(page)


def assert_seen_in_both_themes(page):
    for theme in THEMES:
        set_theme(page, theme)
        assert_fits_width(page)
        assert faint_text(page) == []


def tick(page, *rows):
    """Tick rows of the table, which the browser draws as a picture."""
    table = page.get_by_test_id("stDataFrame").first
    table.wait_for(timeout=WAIT)
    calm(page)  # a table that is drawn anew is another element
    table.scroll_into_view_if_needed()
    for number, row in enumerate(rows, start=1):
        table.click(position={"x": 15, "y": _HEAD + _ROW * row + _ROW // 2})
        page.get_by_role("button", name=f"Delete selected ({number})").wait_for(timeout=WAIT)


@every_width
def test_the_page_answers_and_the_bar_follows(width, address, tab):
    show(tab, address, Screen(width, "light"))
    assert_in_view(tab.get_by_text("free (simulated)"))
    assert_in_view(tab.locator(BAR))
    for name in ("Model", "GPU", "Precision"):
        assert_in_view(tab.get_by_role("combobox", name=name))
    assert_in_view(tab.get_by_role("spinbutton", name="Current batch"))
    assert_in_view(tab.get_by_role("button", name="Analyze"))
    verdict = tab.get_by_role("heading", level=3).first
    expect(verdict).to_contain_text("Largest batch that fits", timeout=WAIT)  # of the first run
    enter(tab, "Current batch", 2000)
    tab.get_by_text("Does not fit: batch 2,000 needs").wait_for(timeout=WAIT)
    assert "Does not fit" in tab.locator(BAR).get_attribute("aria-label")
    assert_seen_in_both_themes(tab)


@every_width
def test_a_result_says_what_it_is_of_and_fills_the_setup(width, address, kept, tab):
    show(tab, f"{address}/?run={kept['other']}", Screen(width, "light"))
    phrase = tab.get_by_text("amp-fp16 · 256 tokens").first
    phrase.wait_for(timeout=WAIT)
    for name, words in {"Model": "gpt2", "GPU": "A100", "Precision": "amp-fp16"}.items():
        expect(tab.get_by_role("combobox", name=name)).to_have_value(re.compile(words))
    stale = tab.get_by_text("This result is of other settings")
    assert stale.count() == 0
    tab.get_by_text("More settings").click()
    enter(tab, "Sequence length", 128)
    stale.wait_for(timeout=WAIT)
    assert "sequence length 256 (now 128)" in stale.inner_text()
    assert_seen_in_both_themes(tab)


@every_width
def test_numbers_sort_as_numbers(width, address, kept, tab):
    show(tab, f"{address}/?run={kept['plain']}", Screen(width, "light"))
    table = tab.get_by_test_id("stDataFrame").last
    table.scroll_into_view_if_needed()
    tab.wait_for_function(f"({_ROWS})().length > 4", timeout=WAIT)
    before = batches(tab)
    assert before != sorted(before) and len(before) > 4
    table.click(position={"x": 30, "y": _HEAD // 2})
    tab.wait_for_timeout(300)  # it is drawn anew
    assert batches(tab) == sorted(before)
    assert_seen_in_both_themes(tab)


def batches(page):
    return [int(row[0].replace(",", "")) for row in page.evaluate(_ROWS)]


@every_width
def test_the_verdict_says_where_there_is_nothing_to_gain(width, address, kept, tab):
    show(tab, f"{address}/?run={kept['fine']}", Screen(width, "light"))
    verdict = tab.get_by_role("heading", level=3).first
    expect(verdict).to_contain_text("You are already fine", timeout=WAIT)
    show(tab, f"{address}/?run={kept['stopped']}", Screen(width, "light"))
    expect(verdict).to_contain_text("Largest batch that fits: at least ", timeout=WAIT)
    assert_seen_in_both_themes(tab)


@every_width
def test_a_press_shows_progress_beside_it_and_cancel_ends_it(width, address, tab):
    show(tab, f"{address}/?model=own:held&seq_len={width}", Screen(width, "light"))
    tab.get_by_role("button", name="Analyze").click()
    cancel = tab.get_by_role("button", name="Cancel")
    cancel.wait_for(timeout=WAIT)
    calm(tab)
    assert_in_view(tab.get_by_text("analysis of own:held on the simulator"))
    assert_in_view(cancel)
    cancel.click()
    tab.get_by_role("button", name="Cancelling").wait_for(timeout=WAIT)
    tab.get_by_text("This run was cancelled").wait_for(timeout=WAIT)
    assert_seen_in_both_themes(tab)


@every_width
def test_an_error_is_beside_the_button_and_goes(width, address, tab):
    show(tab, f"{address}/?model=os:system", Screen(width, "light"))
    tab.get_by_role("button", name="Analyze").click()
    error = tab.locator("[data-testid=stAlertContentError]")
    error.wait_for(timeout=WAIT)
    calm(tab)
    assert_in_view(error)
    assert "would run custom code" in error.inner_text()
    enter(tab, "Current batch", 17)
    error.wait_for(state="detached", timeout=WAIT)
    assert_seen_in_both_themes(tab)


@every_width
def test_runs_are_laid_over_one_another(width, address, kept, tab):
    find(tab, address, width, "gpt2")
    tick(tab, 1, 2, 3)
    charts = tab.get_by_test_id("stVegaLiteChart")
    expect(charts).to_have_count(2, timeout=WAIT)
    calm(tab)
    assert tab.get_by_text("amp-fp16").count() > 1  # what they differ in
    assert_chart_words_apart(tab)
    assert_seen_in_both_themes(tab)


def test_long_names_of_runs_are_seen_whole_beside_one_another(address, kept, tab):
    find(tab, address, 1280, "gpt2")
    tick(tab, 3, 4)
    expect(tab.get_by_test_id("stVegaLiteChart")).to_have_count(2, timeout=WAIT)
    for width in (1280, 768, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        calm(tab)
        assert_chart_words_apart(tab)
        assert_fits_width(tab)
        names = tab.locator("[data-testid=stVegaLiteChart] .role-legend-label text")
        shown = [text for text in names.all_text_contents() if "512 tokens" in text]
        assert (shown and max(map(len, shown)) > 40) or width < 480, shown


@every_width
def test_a_deleted_run_takes_its_tick_along(width, address, server_home, tab):
    model = f"stub-{width}"
    history = RunHistory(server_home / "runs.sqlite3")
    for _ in range(2):
        history.save("analysis", {"model_name": model}, request={"model": model})
    find(tab, address, width, model)
    tick(tab, 0)
    tab.get_by_role("button", name="Delete selected (1)").click()
    tab.get_by_role("button", name="Delete", exact=True).click()
    tab.get_by_text("Deleted 1 run.").wait_for(timeout=WAIT)
    settled(tab)
    assert tab.get_by_role("button", name="Delete selected").count() == 0
    assert [run.model for run in history.list()].count(model) == 1
    assert_seen_in_both_themes(tab)
