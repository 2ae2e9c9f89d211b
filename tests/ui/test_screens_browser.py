"""The looks at pages: each finds what it is there to find, on a page that has it."""

import pytest
from contrast import faint_text
from screens import Screen, assert_fits_width, assert_in_view, screen_of

pytestmark = pytest.mark.browser
PAGE = """<body style="margin: 0; color: {text}; background: {ground}">
<main data-testid="stMain" style="width: 100vw">{content}</main></body>"""


def draw(tab, content, text="#222222", ground="#ffffff"):
    tab.set_viewport_size({"width": 390, "height": 400})
    tab.set_content(PAGE.format(content=content, text=text, ground=ground))


def test_faint_text_is_found_with_its_ratio(tab):
    draw(tab, "<p>pale</p><p style='color: #000'>dark</p>", text="#999999")
    (found,) = faint_text(tab)
    assert found.startswith("2.85 instead of 4.5") and '"pale"' in found


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ("<p style='opacity: 0.3'>pale</p>", 1),
        ("<p style='color: rgba(0, 0, 0, 0.3)'>pale</p>", 1),
        ("<p style='color: #888; font-size: 24px'>large</p>", 0),
        ("<p style='color: #888; font-size: 19px; font-weight: 700'>bold</p>", 0),
        ("<p style='color: #888; font-size: 19px'>not bold</p>", 1),
        ("<p style='background: #222'>on dark</p>", 1),
        ("<p style='background: #222; color: #fff'>on dark</p>", 0),
        ("<button disabled style='color: #999'>disabled</button>", 0),
        ("<p style='color: #999; display: none'>hidden</p>", 0),
        ("<input placeholder='said' style='color: #222'>", 1),
        ("<svg><text y='20' fill='#999'>drawn</text></svg>", 1),
        ("<div style='background: #222; height: 9px'><p style='padding: 40px'>beside</p></div>", 0),
        ("<i style='background: #fff; color: color(srgb 0.6 0.6 0.6)'>pale</i>", 1),
    ],
)
def test_what_counts_as_faint(content, count, tab):
    draw(tab, f"<p>said</p>{content}<style>::placeholder {{ color: #aaa }}</style>")
    assert len(faint_text(tab)) == count


def test_a_page_wider_than_its_window_is_found(tab):
    draw(tab, "<div style='width: 380px'>fits</div>")
    assert_fits_width(tab)
    draw(tab, "<div style='overflow: auto'><div style='width: 900px'>scrolls</div></div>")
    assert_fits_width(tab)
    draw(tab, "<div style='width: 500px'>hangs over</div>")
    with pytest.raises(AssertionError, match="hangs over"):
        assert_fits_width(tab)


def test_what_needs_scrolling_is_not_in_view(tab):
    draw(tab, "<p>seen</p><p style='margin-top: 500px'>below</p>")
    assert_in_view(tab.get_by_text("seen"))
    with pytest.raises(AssertionError):
        assert_in_view(tab.get_by_text("below"))


def test_a_page_knows_its_screen(tab):
    draw(tab, "<p>said</p>")
    tab.emulate_media(color_scheme="dark")
    assert screen_of(tab) == Screen(390, "dark")
    assert str(screen_of(tab)) == "dark-390"
