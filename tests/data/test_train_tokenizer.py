"""A tokenizer trained from texts: it knows all of them and others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tokenizers import WORDS
from transformers import AutoTokenizer

from memorymark.data import train_tokenizer as trained
from memorymark.errors import Cancelled, InvalidValue, WorkloadError


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(WORDS), newline="")
    return path


@pytest.fixture(scope="module")
def tokens(text):
    return trained.train_tokenizer([text], 300, "mine")


def test_it_has_the_bytes_and_what_is_frequent(tokens, text) -> None:
    assert (tokens.vocabulary_size, tokens.name) == (300, "mine")
    whole = text.read_bytes().decode()
    assert len(tokens.encode(whole)) < 0.9 * len(whole.encode())
    assert tokens.decode(tokens.encode(whole)) == whole


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_is_unknown_to_it(tokens, text: str) -> None:
    assert tokens.decode(tokens.encode(text)) == text


def test_the_same_text_gives_the_same_tokenizer(tokens, text) -> None:
    assert trained.train_tokenizer([text], 300, "other").fingerprint == tokens.fingerprint


def test_transformers_reads_what_is_saved(tokens, tmp_path) -> None:
    tokens.save(tmp_path)
    read = AutoTokenizer.from_pretrained(str(tmp_path), local_files_only=True)
    for words in ("to be, or not to be", "déjà vu ."):
        assert read(words)["input_ids"] == tokens.encode(words).tolist()
        assert read.decode(tokens.encode(words).tolist()) == words


def test_of_a_long_text_it_takes_blocks_at_even_distances(text, monkeypatch) -> None:
    monkeypatch.setattr(trained, "BLOCK_BYTES", 10)
    size, read = text.stat().st_size, []
    taken = list(trained._texts([text, text], size // 2, read.append, lambda: None))
    assert 0.2 * size < sum(len(each.encode()) for each in taken) < 0.6 * size
    assert read[-1] == 2 * size and trained.is_trained_on_part([text], size // 2)
    assert not trained.is_trained_on_part([text])


def test_what_does_not_suit_is_said(text, tmp_path) -> None:
    with pytest.raises(InvalidValue, match="from 256 to"):
        trained.train_tokenizer([text], 100, "mine")
    (tmp_path / "binary").write_bytes(b"abc\0")
    with pytest.raises(WorkloadError, match="byte 3 is NUL"):
        trained.train_tokenizer([tmp_path / "binary"], 300, "mine")

    def check():
        raise Cancelled

    with pytest.raises(Cancelled):
        trained.train_tokenizer([text], 300, "mine", check=check)
