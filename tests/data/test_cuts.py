"""A text that comes block by block has the tokens of the whole, for every kind of tokenizer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tokenizers import KINDS, WORDS, made_tokenizer

from memorymark.data import cuts, library_tokens
from memorymark.data.cuts import Cutter
from memorymark.data.library_tokens import LibraryTokens

each_kind = pytest.mark.parametrize("kind", KINDS)
PARTS = [
    " ", "  ", "\n", "\n\n", " \n", "\r\n", "\t", ".", "...", "don't", "to be", "x\ny", "The",
    "suffer", "Größe", "東京", "。", "👋🏽", "e\u0301", "\u0301", "1234", "_", "<|endoftext|>",
    "▁", "Ġ", "\u00a0", "\u3000", "#", "ﬁ",
]  # fmt: skip
parts = st.sampled_from(PARTS) | st.text(max_size=3)
texts = st.lists(parts, min_size=20, max_size=80).map("".join)


@pytest.fixture(scope="module", autouse=True)
def small_chunks():
    with pytest.MonkeyPatch.context() as patch:
        for module in (cuts, library_tokens):
            patch.setattr(module, "AROUND", 24)
        patch.setattr(library_tokens, "_CHUNK", 16)
        yield


def streamed(tokens: LibraryTokens, text: str, size: int):
    blocks = [text[at : at + size] for at in range(0, len(text), size)]
    return list(tokens.stream(blocks))


@each_kind
@settings(max_examples=60, deadline=None)
@given(text=texts, size=st.integers(1, 50))
def test_blocks_have_the_tokens_of_the_whole_text(kind: str, text: str, size: int) -> None:
    tokens = LibraryTokens(made_tokenizer(kind), kind)
    pieces = streamed(tokens, text, size)
    assert np.concatenate([piece.ids for piece in pieces]).tolist() == tokens.encode(text).tolist()
    assert sum(piece.source_bytes for piece in pieces) == len(text.encode())
    assert not any(piece.was_forced for piece in pieces)


@each_kind
def test_an_ordinary_text_is_cut_often(kind: str) -> None:
    tokens = LibraryTokens(made_tokenizer(kind), kind)
    pieces = streamed(tokens, "\n".join(WORDS), 40)
    assert len(pieces) > 5
    assert all(len(piece.ids) < 200 for piece in pieces)


def test_nothing_stands_where_a_token_could_go_over() -> None:
    cutter = Cutter(made_tokenizer("over-words"))
    text = "to suffer to suffer\nto suffer to suffer" + "." * 30
    assert cutter.last_cut(text).end == text.index("\n")


def test_a_text_without_a_place_to_cut_says_where_it_was_cut(monkeypatch) -> None:
    monkeypatch.setattr(library_tokens, "_LONGEST_CHUNK", 64)
    tokens = LibraryTokens(made_tokenizer("gpt2"), "gpt2")
    pieces = streamed(tokens, "ab" * 200, 50)
    assert len(pieces) > 3 and all(piece.was_forced for piece in pieces[:-1])
    assert tokens.decode(np.concatenate([piece.ids for piece in pieces])) == "ab" * 200


def test_the_first_tokens_reach_over_their_bytes() -> None:
    tokens = LibraryTokens(made_tokenizer("gpt2"), "gpt2")
    (piece,) = streamed(tokens, "Größe to", 50)
    lengths = [piece.first_bytes(count) for count in range(len(piece.ids) + 1)]
    assert lengths[0] == 0 and lengths[-1] == piece.source_bytes == 10
    assert lengths == sorted(lengths)
