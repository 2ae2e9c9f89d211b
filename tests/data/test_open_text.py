"""Text or tokens: both are opened, and a text is tokenized once."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from made_tokenizers import made_tokenizer

from memorymark.data import open_text as opened
from memorymark.data.byte_tokens import ByteTokens
from memorymark.data.library_tokens import LibraryTokens
from memorymark.data.open_text import open_text
from memorymark.data.tokenizing import tokenize_files
from memorymark.errors import ModelNotFound, NotAvailable, WorkloadError


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("to be, or not to be")
    return path


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "home" / "tokens"


@pytest.fixture
def folder(tmp_path):
    LibraryTokens(made_tokenizer("gpt2"), "made").save(tmp_path / "tok")
    return str(tmp_path / "tok")


def test_a_text_is_tokenized_once_and_found_again(
    text, cache, folder, tmp_path, monkeypatch
) -> None:
    first = open_text(text, None, cache)
    assert (first.tokenizer, first.count) == ("bytes", 19)
    other = open_text(text, folder, cache)
    assert other.tokenizer == folder and other.count < 19
    copy = text.with_name("copy.txt")
    copy.write_bytes(text.read_bytes())
    monkeypatch.setattr(opened, "tokenize_files", None)
    assert open_text(copy, ByteTokens(), cache).path == first.path
    assert open_text(str(text), folder, cache).path == other.path
    Path(folder).rename(tmp_path / "moved")
    moved = pickle.loads(pickle.dumps(open_text(text, str(tmp_path / "moved"), cache)))
    assert (moved.path, moved.tokenizer) == (other.path, str(tmp_path / "moved"))


def test_another_text_has_tokens_of_its_own(text, cache) -> None:
    first = open_text(text, None, cache)
    text.write_text("to be, or not to bee")
    second = open_text(text, None, cache)
    assert (first.count, second.count, first.path == second.path) == (19, 20, False)


def test_damaged_tokens_are_written_again(text, cache) -> None:
    first = open_text(text, None, cache)
    first.path.write_bytes(first.path.read_bytes()[:-1])
    assert open_text(text, None, cache).count == 19


def test_a_folder_is_its_texts_in_the_order_of_their_names(tmp_path, cache) -> None:
    (tmp_path / "texts" / "in").mkdir(parents=True)
    for name, words in {"b.txt": "two", "a.txt": "one", "in/c.txt": "three", "d.md": "no"}.items():
        (tmp_path / "texts" / name).write_text(words)
    file = open_text(tmp_path / "texts", None, cache)
    assert file.tokens.tobytes() == b"onetwothree"
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkloadError, match=r"has no files \*\.txt"):
        open_text(tmp_path / "empty", None, cache)


def test_where_one_text_ends_makes_another_one(tmp_path, cache) -> None:
    kept = set()
    for first, second in (("ab", "c"), ("a", "bc")):
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / "a.txt").write_text(first)
        (tmp_path / "texts" / "b.txt").write_text(second)
        kept.add(open_text(tmp_path / "texts", None, cache).path)
    assert len(kept) == 2


def test_a_file_of_tokens_is_opened_with_its_own_tokenizer(text, cache, folder, tmp_path) -> None:
    tokenize_files([text], ByteTokens(), tmp_path / "a.bin")
    assert open_text(tmp_path / "a.bin", None, cache).count == 19
    assert open_text(tmp_path / "a.bin", "bytes", cache).count == 19
    with pytest.raises(WorkloadError, match="of another tokenizer: they were written with 'bytes'"):
        open_text(tmp_path / "a.bin", folder, cache)
    (tmp_path / "a.bin").rename(tmp_path / "a.tokens")
    assert open_text(tmp_path / "a.tokens", None, cache).count == 19
    assert not cache.exists()


def test_what_does_not_suit_is_said(text, cache, tmp_path) -> None:
    with pytest.raises(WorkloadError, match="No such file"):
        open_text(tmp_path / "nowhere.txt", None, cache)
    with pytest.raises(ModelNotFound, match="no folder"):
        open_text(text, "nowhere", cache)
    (tmp_path / "a.bin").write_text("text")
    with pytest.raises(WorkloadError, match="no file of tokens"):
        open_text(tmp_path / "a.bin", None, cache)
    cache.parent.write_text("a file in the way")
    with pytest.raises(NotAvailable, match="cannot be made"):
        open_text(text, None, cache)
