"""What would make room, below an analysis in a real browser: it comes by itself, and is applied."""

import re

import pytest
from app_server import WAIT, server, settled
from contrast import faint_text
from playwright.sync_api import expect
from screens import Screen, assert_fits_width, calm, show

pytestmark = pytest.mark.browser
SCREENS = pytest.mark.parametrize("screen", [Screen(1280, "light"), Screen(390, "dark")], ids=str)
OF_THE_A100 = "model=bert&gpu=a100-40gb"


@pytest.fixture(scope="module")
def address(server_home):
    """A server that finds levers by itself."""
    with server(server_home, MEMORYMARK_FOLLOW_UPS="on") as address:
        yield address


def analyze(page, address, screen, query):
    show(page, f"{address}/?{OF_THE_A100}&{query}", screen)
    page.get_by_role("button", name="Analyze").click()
    found = page.get_by_text("Each change, the best first")
    found.wait_for(timeout=4 * WAIT)  # all else goes before it
    settled(page)
    calm(page)


def assert_readable(page):
    assert_fits_width(page)
    assert faint_text(page) == []


@SCREENS
def test_levers_come_by_themselves_and_are_applied(screen, address, tab):
    analyze(tab, address, screen, f"seq_len={screen.width}")
    assert_readable(tab)
    tab.get_by_role("button", name="Apply").first.click()
    tab.get_by_text("This result is of other settings").wait_for(timeout=WAIT)
    assert re.search(r"[?&](precision|optimizer|gradient_checkpointing)=", tab.url)
    tab.get_by_text("free (simulated)").wait_for(timeout=WAIT)  # the bar is pale before
    settled(tab)
    assert_readable(tab)


@SCREENS
def test_what_makes_a_batch_fit_stands_where_it_does_not(screen, address, tab):
    analyze(tab, address, screen, f"seq_len={screen.width}&current_batch_size=3000")
    tab.get_by_role("heading", name="Make it fit").wait_for(timeout=WAIT)
    assert_readable(tab)
    tab.get_by_role("button", name="Apply all of them").click()
    tab.get_by_text("free (simulated)").wait_for(timeout=WAIT)


def test_a_link_shows_them_at_once_on_a_cold_server_and_leads_to_all(address, server_home, tab):
    analyze(tab, address, Screen(1280, "light"), "seq_len=77")
    link = tab.url.replace(address, "")
    with server(server_home) as cold:  # which finds none by itself
        show(tab, f"{cold}{link}", Screen(1280, "light"))
        tab.get_by_text("Each change, the best first").wait_for(timeout=WAIT)
        tab.get_by_role("button", name="Chart, table and code of all changes").click()
        expect(tab.get_by_role("heading", level=1)).to_have_text("Levers", timeout=WAIT)
        settled(tab)
        assert_readable(tab)
