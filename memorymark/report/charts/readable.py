"""Makes the text of charts readable on light and on dark ground.

No colour has enough contrast on both. A chart is built before anybody knows on which ground it
will be drawn, and stays as the ground changes: so its texts choose their colour when it is drawn,
by the signal `background` that Vega gives every chart.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

Spec = dict[str, Any]

# The least contrast of text: https://www.w3.org/TR/WCAG22/#contrast-minimum
LEAST_CONTRAST = 4.5
# The greyest grounds of the two themes in .streamlit/config.toml.
LIGHT_GROUND, DARK_GROUND = "#eef3f1", "#1a252b"
LIGHT_TEXT, DARK_TEXT = "#0c151c", "#e7eeec"
_HALF_LIGHT = 0.4  # between the luminances of the grounds
_STEPS = 20
_HEX = re.compile("#[0-9a-fA-F]{6}")


def readable(spec: Spec) -> Spec:
    """Return a chart of Vega-Lite whose texts are readable on light and on dark ground.

    A text keeps its hue, darker or lighter; one whose hue a scale would choose gets the plain one.
    """
    plain = _either(LIGHT_TEXT, DARK_TEXT)
    named = {"labelColor": plain, "titleColor": plain}
    config = spec.get("config", {})
    places = {
        name: {**named, **config.get(name, {})} for name in ("axis", "legend", "header", "title")
    }
    places["title"] = {"color": plain, "subtitleColor": plain, **config.get("title", {})}
    return {**_with_text(spec), "config": {**config, **places}}


def _with_text(part: Any) -> Any:
    if isinstance(part, list):
        return [_with_text(each) for each in part]
    if not isinstance(part, dict) or "values" in part:
        return part
    part = {name: _with_text(value) for name, value in part.items()}
    mark = part.get("mark")
    kind = mark.get("type") if isinstance(mark, dict) else mark
    if kind != "text":
        return part
    style = mark if isinstance(mark, dict) else {"type": kind}
    encoding = dict(part.get("encoding", {}))
    scaled = encoding.pop("color", None)
    colour = None if scaled else style.get("color")
    if not isinstance(colour, str) or not _HEX.fullmatch(colour):
        chosen = colour or _either(LIGHT_TEXT, DARK_TEXT)
    else:
        chosen = _either(_against(colour, LIGHT_GROUND), _against(colour, DARK_GROUND))
    return {**part, "mark": {**style, "color": chosen}, "encoding": encoding}


def _either(on_light: str, on_dark: str) -> dict[str, str]:
    return {"expr": f"luminance(background) > {_HALF_LIGHT} ? '{on_light}' : '{on_dark}'"}


@lru_cache
def _against(colour: str, ground: str) -> str:
    """Mix a colour with black or white until it stands out from its ground."""
    end = "#000000" if luminance(ground) > _HALF_LIGHT else "#ffffff"
    for step in range(_STEPS):
        mixed = _mix(colour, end, step / _STEPS)
        if contrast(mixed, ground) >= LEAST_CONTRAST:
            return mixed
    return end


def _mix(colour: str, other: str, share: float) -> str:
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def contrast(one: str, two: str) -> float:
    """Return the contrast of two colours, from 1 to 21.

    Args:
        one: As "#rrggbb".
        two: As "#rrggbb".

    Source: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio

    Example:
        >>> contrast("#000000", "#ffffff")
        21.0
    """
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, from 0 to 1.

    Source: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
    """
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
