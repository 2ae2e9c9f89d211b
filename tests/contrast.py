"""Reads the contrast of all text that a page shows, as WCAG 2.2 counts it (criterion 1.4.3).

The ratio is that of the text's colour to the ground that it stands on, both as the browser computed
them, with all that is see-through mixed in. What is disabled is exempt. Pictures (canvas, img) are
not read.
"""

from __future__ import annotations

from typing import Any

TEXT = 4.5
LARGE = 3.0  # from 24 px, or bold from 18.66 px; signs that are drawn as a font count as pictures

_READ = """([text, large]) => {
    const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const kept = new Map();
    const parse = colour => {
        const parts = colour.match(/^rgba?\\(([^)]+)\\)$/);
        if (parts) {
            const [r, g, b, a = 1] = parts[1].split(/[ ,/]+/).map(Number);
            return [r, g, b, a];
        }
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const read = colour => {
        if (!kept.has(colour)) kept.set(colour, parse(colour));
        return kept.get(colour);
    };
    const over = ([r, g, b, a], under) =>
        [r, g, b].map((value, i) => value * a + under[i] * (1 - a));
    const light = colour => {
        const [r, g, b] = colour.map(value => value / 255).map(
            value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (one, two) => {
        const [high, low] = [light(one), light(two)].sort((a, b) => b - a);
        return (high + 0.05) / (low + 0.05);
    };
    // The ground below a text, and how much of the text is seen: what is around it colours its
    // ground only where it reaches below it.
    const ground = (element, box) => {
        const layers = [];
        let seen = 1, scrolled = false;
        for (let up = element; up; up = up.parentElement) {
            const style = getComputedStyle(up), around = up.getBoundingClientRect();
            const colour = read(style.backgroundColor);
            seen *= Number(style.opacity);
            scrolled ||= style.overflow !== 'visible';
            const below = scrolled || (around.left <= box.x && box.x <= around.right
                && around.top <= box.y && box.y <= around.bottom);
            if (below && colour[3]) layers.push(colour);
        }
        return [layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]),
                seen];
    };
    const disabled = element =>
        element.closest(':disabled, [aria-disabled=true], [disabled]') !== null;
    const found = [];
    const judge = (element, said, colour, box) => {
        const style = getComputedStyle(element), size = parseFloat(style.fontSize);
        const middle = {x: box.x + box.width / 2, y: box.y + box.height / 2};
        const [under, seen] = ground(element, middle);
        const [r, g, b, a] = read(colour);
        const value = ratio(over([r, g, b, a * seen], under), under);
        const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
            || /material/i.test(style.fontFamily);
        const needed = isLarge ? large : text;
        if (value < needed - 0.005) {
            const place = element.closest('[data-testid]');
            const mix = under.map(Math.round);
            found.push(`${value.toFixed(2)} instead of ${needed}: ${colour} on rgb(${mix}) ` +
                `${JSON.stringify(said.slice(0, 40))} in ${place && place.dataset.testid}`);
        }
    };
    const visible = element => element.checkVisibility(
        {checkOpacity: true, checkVisibilityCSS: true}
    ) && element.getBoundingClientRect().width > 1;
    let count = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const said = walker.currentNode.textContent.trim();
        const element = walker.currentNode.parentElement;
        if (!said || element.closest('script, style, noscript, canvas')) continue;
        if (disabled(element) || !visible(element)) continue;
        const colour = getComputedStyle(element)[element.closest('svg') ? 'fill' : 'color'];
        const range = document.createRange();
        range.selectNodeContents(walker.currentNode);
        judge(element, said, colour, range.getBoundingClientRect());
        count += 1;
    }
    for (const field of document.querySelectorAll('input, textarea')) {
        if (disabled(field) || !visible(field)) continue;
        const part = field.value ? null : '::placeholder', said = field.value || field.placeholder;
        if (!said || ['checkbox', 'radio', 'range'].includes(field.type)) continue;
        judge(field, said, getComputedStyle(field, part).color, field.getBoundingClientRect());
        count += 1;
    }
    return [count, [...new Set(found)]];
}"""


def faint_text(page: Any) -> list[str]:
    """Return each text of a page that stands out too little, with its ratio and colours."""
    count, found = page.evaluate(_READ, [TEXT, LARGE])
    assert count > 0, "no text was read"
    return found
