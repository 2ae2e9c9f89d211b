"""Text from outside, before anybody reads it: names, errors, addresses, rows of the history.

A name may hold characters that do something instead of showing: the escapes of a terminal, a
line's end, marks that turn the direction of the text around, halves of characters that cannot be
written out. They are shown as Python writes them.
"""

from __future__ import annotations

import re

_LINE_END = re.compile(r"[ \t]*(?:\r\n|\n|\r)\s*")


def visible(text: object) -> str:
    r"""Return text as one line in which every character shows.

    Example:
        >>> print(visible("model\x1b[2J\n  of \u202ebob"))
        model\x1b[2J of \u202ebob
    """
    line = _LINE_END.sub(" ", str(text)).replace("\t", " ")
    return line if line.isprintable() else "".join(map(_shown, line))


def visible_text(text: str) -> str:
    r"""Return text of several lines in which every character shows, but for the ends of lines.

    Example:
        >>> print(visible_text("one\ntwo\x1b[2J"))
        one
        two\x1b[2J
    """
    return "".join(each if each == "\n" else _shown(each) for each in text.replace("\t", "    "))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
