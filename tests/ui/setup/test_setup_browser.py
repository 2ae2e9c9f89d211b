"""The setup in a real browser: an answer without a click, the bar, progress beside the button."""

import re

import pytest
from app_server import WAIT, server, settled
from playwright.sync_api import expect
from screens import Screen, assert_in_view, calm, show

pytestmark = pytest.mark.browser
SECOND = 1_000
BAR = "[class*=st-key-memory_bar] div[role=img]"


@pytest.fixture(scope="module")
def address(server_home):
    """A server that begins the first run when it starts."""
    with server(server_home, MEMORYMARK_FIRST_RUN="on") as address:
        yield address


def field(page, name):
    return page.get_by_role("spinbutton", name=name)


def enter(page, name, value):
    field(page, name).fill(str(value))
    field(page, name).press("Enter")


def errors(page):
    return page.locator("[data-testid=stAlertContentError]")


def test_the_bar_follows_a_changed_setting(address, tab):
    show(tab, address, Screen(390, "light"))
    tab.get_by_text("free (simulated)").wait_for(timeout=WAIT)
    enter(tab, "Current batch", 2000)
    tab.get_by_text("Does not fit: batch 2,000 needs").wait_for(timeout=WAIT)
    assert "Does not fit" in tab.locator(BAR).get_attribute("aria-label")
    settled(tab)
    assert "current_batch_size=2000" in tab.url
    enter(tab, "Current batch", 20)
    tab.get_by_text("free (simulated)").wait_for(timeout=WAIT)
    assert "Activations" in tab.locator(BAR).get_attribute("aria-label")


@pytest.mark.parametrize("is_open", [False, True])
def test_a_press_shows_its_progress_where_the_button_is(is_open, address, server_home, tab):
    """Whatever is unfolded above it."""
    (server_home / "go").unlink(missing_ok=True)
    show(tab, f"{address}/?model=own:held&seq_len={100 + is_open}", Screen(390, "light"))
    if is_open:
        tab.get_by_text("More settings").click()
        calm(tab)
    button = tab.get_by_role("button", name="Analyze")
    button.scroll_into_view_if_needed()
    button.click()
    cancel = tab.get_by_role("button", name="Cancel")
    cancel.wait_for(timeout=WAIT)
    calm(tab)
    assert_in_view(tab.get_by_text("analysis of own:held on the simulator"))
    assert_in_view(cancel)
    cancel.click()
    tab.get_by_text("This run was cancelled").wait_for(timeout=WAIT)


def test_fields_show_what_holds_however_late_their_code_arrives(address, tab):
    """The page is drawn again, since the estimate is there, before the browser can draw a field."""
    held, kinds = [], re.compile("/(NumberInput|Selectbox|Checkbox|Slider|TextInput)[.]")
    tab.route(kinds, lambda route: held.append(route))
    tab.goto(f"{address}/?model=gpt2&gpu=t4&precision=amp-fp16&dropout=false")
    tab.get_by_text("free (simulated)").wait_for(timeout=WAIT)
    for route in held:
        route.continue_()
    tab.unroute(kinds)
    settled(tab)
    for name, words in {"Model": "gpt2", "GPU": "T4", "Precision": "amp-fp16"}.items():
        expect(tab.get_by_role("combobox", name=name)).to_have_value(re.compile(words))
    expect(field(tab, "Current batch")).to_have_value("16")
    enter(tab, "Current batch", 20)
    tab.wait_for_url(re.compile("current_batch_size=20"))
    assert "gpu=t4" in tab.url and "dropout=false" in tab.url
