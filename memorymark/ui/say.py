"""What the pages say. Everything that came from outside is escaped here, and only here.

Streamlit draws most of its text as markdown, so that a model's name or a link's parameter could
bring images, links and headings of its own onto the page. Each function takes a template, which
is ours and may hold markdown, and the values for its braces, which stay plain text:

    say.warning("There is no run **{}**.", asked)

No other file hands text of which a part is not fixed to Streamlit; tests/ui/test_say.py holds all
files of the app to it. A label of a widget that is not fixed goes through `plain`.
"""

from __future__ import annotations

import html as html_text
import re
import string
from typing import Any

import streamlit as st

from memorymark.report.visible import visible

LONGEST = 4_000  # characters of one value; a link may carry a megabyte

# Note on word joiners. Web addresses, e-mail addresses, names of emojis and arrows are replaced
# after the markdown was read, where no backslash helps. A word joiner between their characters
# does; it has no width.
_JOINER = "\u2060"
_REPLACED_LATER = re.compile(
    r"""
    (?<=http)(?=s?://) | (?<=www)(?=\.)            # web addresses
    | (?<=[-.\w+])(?=@[-\w])                       # e-mail addresses
    | (?<=:)(?=[-\w+]+:)                           # :name: of an emoji or an icon
    | (?<=(?<!\S)[-<>~])(?=(?:->|-|=|>)(?!\S))     # arrows and comparisons between spaces
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MARKUP = re.compile(
    r"""
    [\\`*\[\]<>&$~|]
    | (?<![a-z0-9])_ | _(?![a-z0-9])    # within a word it means nothing
    | :(?=[a-z:]) | (?<=:material)/
    """,
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)
_BLOCK = re.compile(r"\A(\d*)([-+=#.)])(?=[\s\-+=#]|\Z)")  # a list, a heading, a rule


def plain(text: object) -> str:
    r"""Return text as markdown that reads literally.

    Example:
        >>> print(plain("[**bert**](x)\n# $1"))
        \[\*\*bert\*\*\](x) # \$1
    """
    shown = visible(text).strip()
    if len(shown) > LONGEST:
        shown = f"{shown[:LONGEST]}…"
    joined = _REPLACED_LATER.sub(_JOINER, shown)
    return _BLOCK.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", joined))


class _Template(string.Formatter):
    """Formats as str.format does, with every value escaped."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return plain(super().format_field(value, format_spec))


class Markup(str):
    """Markup that `markup` made: what was filled in was escaped."""

    __slots__ = ()


class _Html(string.Formatter):
    """Formats as str.format does, with every value as text that HTML reads literally."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Markup):
            return str(value)
        if isinstance(value, list):
            return "".join(self.format_field(each, format_spec) for each in value)
        return html_text.escape(visible(super().format_field(value, format_spec)))


_format = _Template().format
_fill = _Html().format


def markup(template: str, *values: Any) -> Markup:
    """Fill values into markup of ours; a list's items follow one another."""
    return Markup(_fill(template, *values))


def html(template: str, *values: Any) -> None:
    """Draw markup of ours with values in it, which stay text."""
    st.html(_fill(template, *values))


def line(template: str, *values: Any) -> None:
    """Draw a line of text."""
    st.markdown(_format(template, *values))


def heading(template: str, *values: Any) -> None:
    """Draw the heading of a part of the page."""
    st.subheader(_format(template, *values), anchor=False)


def caption(template: str, *values: Any) -> None:
    """Draw a line of small text."""
    st.caption(_format(template, *values))


def info(template: str, *values: Any, icon: str = ":material/info:") -> None:
    """Draw a note."""
    st.info(_format(template, *values), icon=icon)


def warning(template: str, *values: Any, icon: str = ":material/warning:") -> None:
    """Draw a warning."""
    st.warning(_format(template, *values), icon=icon)


def error(template: str, *values: Any, icon: str = ":material/error:") -> None:
    """Draw an error."""
    st.error(_format(template, *values), icon=icon)


def badge(word: str, icon: str, color: str) -> None:
    """Draw a word on coloured ground, without its signs.

    Streamlit puts it between brackets and escapes some of it itself, so that nothing else does.
    """
    st.badge(re.sub(r"[^\w ]|_", "", word), icon=icon, color=color)


def step(template: str, *values: Any, is_running: bool) -> None:
    """Draw a step of a timeline."""
    state = "running" if is_running else "complete"
    st.status(_format(template, *values), state=state, type="step")


def progress(share: float, template: str, *values: Any) -> None:
    """Draw a bar with a text above it; the share is from 0 to 1."""
    st.progress(min(max(share, 0.0), 1.0), text=_format(template, *values))


def metric(label: str, value: str, told: str | None = None, help: str | None = None) -> None:
    """Draw a figure with a note below it where there is one, in a frame where there is."""
    st.metric(
        plain(label),
        _figure(value),
        None if told is None else plain(told),
        delta_color="off",
        delta_arrow="off",
        border=told is not None,
        height="stretch" if told is not None else "content",
        help=None if help is None else plain(help),
    )


def _figure(value: str) -> str:
    """Return a figure; the one dollar sign of an amount begins no formula."""
    escaped = plain(value)
    return escaped.replace(r"\$", "$") if value.count("$") == 1 else escaped
