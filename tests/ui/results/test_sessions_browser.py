"""Sessions in a real browser: the first press gives an answer, and sliders redraw its demand."""

import re

import pytest
from app_server import WAIT, server, settled
from screens import Screen, assert_chart_words_apart, assert_fits_width, calm, show

pytestmark = pytest.mark.browser
SCREENS = [Screen(1280, "light"), Screen(390, "light")]
BAR = "[data-testid=stVegaLiteChart] >> nth=0"


@pytest.fixture(scope="module")
def address(server_home):
    """A server with the engine's own probes."""
    with server(server_home, MEMORYMARK_FIRST_RUN="off", MEMORYMARK_PROBE_FACTORY="") as address:
        yield address


def test_the_first_press_on_a_page_as_it_opens_gives_an_answer(address, tab):
    show(tab, f"{address}/sessions", SCREENS[0])
    assert tab.get_by_text("come with the first result").is_visible()
    assert tab.get_by_text("the context is 1,024 tokens").is_visible()
    tab.get_by_role("button", name="Run sessions").click()
    tab.get_by_role("heading", name="All figures").wait_for(timeout=2 * WAIT)
    settled(tab)
    assert tab.get_by_role("heading", name=re.compile("All 50 sessions completed")).is_visible()
    assert not tab.locator("[data-testid=stAlertContentError]").count()


@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_sliders_redraw_the_demand_and_charts_have_room(address, tab, screen):
    asked = "policy=swap&sessions=9&context_tokens=512&memory_budget=400MiB"
    show(tab, f"{address}/sessions?model=hf:openai-community/gpt2&{asked}", screen)
    tab.get_by_role("button", name="Run sessions").click()
    tab.get_by_role("heading", name="All figures").wait_for(timeout=2 * WAIT)
    settled(tab)
    calm(tab)
    assert_fits_width(tab)
    assert_chart_words_apart(tab)
    tab.get_by_text("9 sessions of 512 tokens need").wait_for(timeout=WAIT)
    tab.locator(BAR).scroll_into_view_if_needed()
    capacity = tab.locator(f"{BAR} >> line[stroke='#d64b4b']")
    assert capacity.bounding_box()["height"] >= 40
    tab.get_by_role("slider", name="Sessions").press("End")
    tab.get_by_text("which does not fit").wait_for(timeout=WAIT)
    assert tab.get_by_text("Turns of sessions, in order").count()
    assert tab.get_by_text(re.compile("Plateau: .* MiB")).count()
