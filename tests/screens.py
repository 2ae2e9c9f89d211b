"""Looks at pages of the app on the screens that people have: three widths, light and dark.

A test opens a page as a visitor with that screen would, and looks at it:

    @every_screen
    def test_verdict_is_seen_first(screen, address, tab):
        show(tab, f"{address}/", screen)
        assert_in_view(tab.get_by_text("Largest batch that fits"))
        assert_fits_width(tab)

Loading a page takes a second or two, a change of theme a tenth: where the width alone matters, take
`every_width` and `set_theme`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from app_server import SCREENSHOTS, settled

WIDTHS = (1280, 768, 390)
THEMES = ("light", "dark")
HEIGHT = 900
_TALLEST = 6_000  # pixels of one picture

# Waits until the page has had the same size and text for three looks.
_CALM = """async () => {
    const look = () => {
        const main = document.querySelector('[data-testid=stMain]');
        return [innerWidth, main.scrollWidth, main.scrollHeight, main.innerText.length].join();
    };
    const end = performance.now() + 5000;
    for (let last = look(), same = 0; same < 3 && performance.now() < end;) {
        await new Promise(done => setTimeout(done, 50));
        const now = look();
        same = now === last ? same + 1 : 0;
        last = now;
    }
}"""
# Names what hangs over the right edge, unless something around it scrolls or cuts it off.
_HANGING = """() => {
    const held = element => {
        for (let up = element.parentElement; up && up.dataset.testid !== 'stMain';
             up = up.parentElement) {
            if (getComputedStyle(up).overflowX !== 'visible') return true;
        }
        return false;
    };
    return [...document.querySelectorAll('[data-testid=stMain] *')].filter(element => {
        const box = element.getBoundingClientRect();
        return box.width && box.right > innerWidth + 1 && !held(element);
    }).slice(-3).map(element => `${element.tagName} ${element.innerText || element.className}`);
}"""
_WIDEST = """() => Math.max(
    document.documentElement.scrollWidth, document.body.scrollWidth,
    document.querySelector('[data-testid=stMain]').scrollWidth
)"""
# Names the words of each chart that overprint one another, or hang over its edge.
_OVERPRINTED = """() => [...document.querySelectorAll('[data-testid=stVegaLiteChart] svg')].flatMap(
    chart => {
        const seen = text => {
            for (let up = text; up && up !== chart; up = up.parentElement) {
                if (getComputedStyle(up).opacity === '0') return false;
            }
            return text.textContent.trim() !== '';
        };
        const words = [...chart.querySelectorAll('text')].filter(seen).map(
            text => ({said: text.textContent, box: text.getBoundingClientRect()})
        );
        const edge = chart.getBoundingClientRect();
        const cut = words.filter(({box}) => box.right > edge.right + 1 || box.left < edge.left - 9)
            .map(({said}) => `${said} is cut off`);
        return cut.concat(words.flatMap(({said, box}, n) => words.slice(n + 1).filter(other =>
            Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left) > 1 &&
            Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top) > 3
        ).map(other => `${said} / ${other.said}`)));
    }
)"""
_WORDS_IN_CHARTS = "document.querySelectorAll('[data-testid=stVegaLiteChart] svg text').length"
_FULL_HEIGHT = "document.querySelector('[data-testid=stMain]').scrollHeight"


@dataclass(frozen=True)
class Screen:
    """A visitor's window: its width in pixels, and the theme of the visitor's system."""

    width: int
    theme: str

    def __str__(self) -> str:
        return f"{self.theme}-{self.width}"


SCREENS = tuple(Screen(width, theme) for width in WIDTHS for theme in THEMES)
every_screen = pytest.mark.parametrize("screen", SCREENS, ids=str)
every_width = pytest.mark.parametrize("width", WIDTHS)
every_theme = pytest.mark.parametrize("theme", THEMES)


def show(page: Any, url: str, screen: Screen) -> None:
    """Open a page on a screen, and wait until all of it is drawn."""
    page.set_viewport_size({"width": screen.width, "height": HEIGHT})
    page.emulate_media(color_scheme=screen.theme)
    page.goto(url, wait_until="commit")
    settled(page)
    calm(page)


def set_theme(page: Any, theme: str) -> None:
    """Change the theme of the visitor's system while the page is open."""
    page.emulate_media(color_scheme=theme)
    calm(page)


def calm(page: Any) -> None:
    """Wait until nothing on the page moves any more."""
    page.evaluate(_CALM)


def screen_of(page: Any) -> Screen:
    """Return the screen that a page is shown on now."""
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    return Screen(page.viewport_size["width"], THEMES[is_dark])


def assert_in_view(locator: Any) -> None:
    """Hold an element to be seen whole, without scrolling."""
    locator.wait_for()
    box, size = locator.bounding_box(), locator.page.viewport_size
    assert box["x"] >= -1 and box["x"] + box["width"] <= size["width"] + 1, (box, size)
    assert box["y"] >= -1 and box["y"] + box["height"] <= size["height"] + 1, (box, size)


def assert_fits_width(page: Any) -> None:
    """Hold a page to its window's width: nobody has to scroll sideways."""
    assert page.evaluate(_WIDEST) <= page.viewport_size["width"], page.evaluate(_HANGING)


def assert_chart_words_apart(page: Any) -> None:
    """Hold the words of each chart to be seen whole, and beside one another."""
    charts = page.get_by_test_id("stVegaLiteChart").count()
    assert page.evaluate(_WORDS_IN_CHARTS) >= charts
    found = page.evaluate(_OVERPRINTED)
    assert found == [], found


def shoot(page: Any, name: str) -> Path:
    """Write the whole page as a picture named after page, theme and width."""
    screen, size = screen_of(page), page.viewport_size
    height = max(size["height"], min(page.evaluate(_FULL_HEIGHT) + 20, _TALLEST))
    page.set_viewport_size({"width": screen.width, "height": height})
    calm(page)
    SCREENSHOTS.mkdir(exist_ok=True)
    file = SCREENSHOTS / f"{name}-{screen}.png"
    page.screenshot(path=file, animations="disabled")
    page.set_viewport_size(size)
    assert file.stat().st_size > 10_000
    return file
