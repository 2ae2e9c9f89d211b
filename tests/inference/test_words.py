"""Text comes piece by piece, never half a character, and all of it is what the whole decodes to."""

import pytest
from generators import byte_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.inference.words import TokenNumbers, TokenWords

TOKENIZER = byte_tokenizer()


def pieces(tokens, words=None):
    words = words or TokenWords(TOKENIZER)
    return [words.add(token) for token in tokens], words.rest()


def test_a_character_of_several_tokens_comes_whole():
    tokens = TOKENIZER("aé€😀b")["input_ids"]
    assert len(tokens) == 1 + 2 + 3 + 4 + 1
    found, rest = pieces(tokens)
    assert found == ["a", "", "é", "", "", "€", "", "", "", "😀", "b"] and rest == ""


def test_half_a_character_at_the_end_is_one_that_is_missing():
    found, rest = pieces(TOKENIZER("a😀")["input_ids"][:3])
    assert found == ["a", "", ""] and rest == "�"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_all_pieces_are_the_text(text):
    found, rest = pieces(TOKENIZER(text)["input_ids"])
    assert "".join(found) + rest == text
    if "�" not in text:
        assert not any("�" in piece for piece in found)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 255), max_size=40))
def test_bytes_that_are_no_text_come_as_they_decode_and_are_not_held_for_ever(tokens):
    found, rest = pieces(tokens)
    whole = TOKENIZER.decode(tokens)
    assert len("".join(found) + rest) == len(whole) and len(rest) <= 3


def test_special_tokens_are_left_out():
    end = TOKENIZER.convert_tokens_to_ids("<end>")
    found, rest = pieces([*TOKENIZER("ab")["input_ids"], end])
    assert ("".join(found), rest) == ("ab", "")


class Blanks:
    """A tokenizer that leaves out the blank at the beginning, as those of sentencepiece."""

    def decode(self, tokens, **_):
        return " ".join(f"w{token}" for token in tokens)


def test_blanks_between_words_are_kept():
    found, rest = pieces([1, 2, 3], TokenWords(Blanks()))
    assert found == ["w1", " w2", " w3"] and rest == ""


@pytest.mark.parametrize("tokens", [[], [5], [5, 7, 9]])
def test_numbers_of_tokens_stand_apart(tokens):
    found, rest = pieces(tokens, TokenNumbers())
    assert "".join(found) + rest == " ".join(map(str, tokens))
