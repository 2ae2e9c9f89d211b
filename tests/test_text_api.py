"""Tokenizing as a library: one call from texts to a file that trainings read."""

from __future__ import annotations

from pathlib import Path

import pytest

import memorymark
from memorymark.data.token_file import open_token_file
from memorymark.data.tokenizer_files import tokenizer_of_file
from memorymark.errors import Cancelled, InvalidValue, UsageError
from memorymark.records.event import CancelToken
from memorymark.records.tokenized import Tokenized

WORDS = "To be, or not to be: that is the question.\n"


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(WORDS * 50)
    return path


def test_one_call_with_bytes(text, tmp_path) -> None:
    events = []
    done = memorymark.tokenize(text, tmp_path / "a.bin", on_event=events.append)
    assert isinstance(done, memorymark.Tokenized)
    assert (done.tokens, done.tokenizer, done.tokenizer_folder) == (50 * len(WORDS), "bytes", None)
    assert events[0].text == "Writing the tokens of 2.1 KiB of text."
    assert Tokenized.from_dict(done.to_dict()) == done
    assert done.to_dict()["bytes_per_token"] == 1.0


def test_a_tokenizer_is_trained_saved_and_found_again(text, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = memorymark.tokenize([text], "a.bin", train_tokenizer=270)
    assert (done.tokenizer, done.tokenizer_folder) == ("a-tokenizer", "a-tokenizer")
    file = open_token_file("a.bin")
    assert tokenizer_of_file(file).decode(file.tokens) == WORDS * 50
    again = memorymark.tokenize([text], "b.bin", "a-tokenizer")
    assert (again.tokens, again.tokenizer_folder) == (done.tokens, None)
    other = memorymark.tokenize([text], "a.bin", train_tokenizer=262)
    assert other.tokens > done.tokens
    assert tokenizer_of_file(open_token_file("a.bin")).vocabulary_size == 262


def test_fewer_tokens_than_were_asked_for_are_said(text, tmp_path) -> None:
    done = memorymark.tokenize(text, tmp_path / "a.bin", train_tokenizer=5000)
    assert done.vocabulary_size < 400
    assert "fewer than the 5,000 that were asked for" in done.findings[0]


def test_what_is_cancelled_writes_nothing(text, tmp_path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    for more in ({}, {"train_tokenizer": 300}):
        with pytest.raises(Cancelled):
            memorymark.tokenize(text, tmp_path / "a.bin", cancel=cancel, **more)
    assert [each.name for each in tmp_path.iterdir()] == ["text.txt"]


def test_what_does_not_suit_is_said(text, tmp_path) -> None:
    with pytest.raises(UsageError, match="Both a tokenizer"):
        memorymark.tokenize(text, tmp_path / "a.bin", str(tmp_path), train_tokenizer=300)
    with pytest.raises(InvalidValue, match="from 256 to"):
        memorymark.tokenize(text, tmp_path / "a.bin", train_tokenizer=3)
    with pytest.raises(InvalidValue, match="max tokens is 0"):
        memorymark.tokenize(text, tmp_path / "a.bin", max_tokens=0)
    with pytest.raises(UsageError, match="one of the files"):
        memorymark.tokenize(text, text)
