"""Text from outside as one line in which every character shows."""

import pytest
from hostile import DIRECTIONS, HOSTILE
from hypothesis import given
from hypothesis import strategies as st

from memorymark.report.visible import visible


def test_everyday_text_is_left_alone():
    for text in ("hf:google/t5", "  batch     8  2.50 GiB", "Größe — 你好 · …", ""):
        assert visible(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_every_character_shows(text):
    assert visible(text).isprintable()


@given(st.text(st.characters(), max_size=50))
def test_any_text_is_one_printable_line_that_can_be_written(text):
    assert visible(text).isprintable()
    visible(text).encode()


def test_directions_and_controls_are_shown_as_escapes():
    for character in DIRECTIONS:
        assert visible(f"a{character}b") == f"a{character.encode('unicode_escape').decode()}b"


def test_a_line_cannot_be_forged():
    assert visible("a\r\n  Error: forged") == "a Error: forged"
    assert visible("a\x1b[1Ab") == r"a\x1b[1Ab"
