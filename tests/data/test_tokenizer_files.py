"""Tokenizers by their names, and those of files of tokens found again."""

from __future__ import annotations

import pytest
from made_tokenizers import made_tokenizer

from memorymark.data.byte_tokens import ByteTokens
from memorymark.data.library_tokens import LibraryTokens
from memorymark.data.token_file import open_token_file
from memorymark.data.tokenizer_files import saved_beside, tokenizer_of, tokenizer_of_file
from memorymark.data.tokenizing import tokenize_files
from memorymark.errors import ModelNotFound, WorkloadError


@pytest.fixture
def folder(tmp_path):
    LibraryTokens(made_tokenizer("gpt2"), "made").save(tmp_path / "tok")
    return tmp_path / "tok"


def test_bytes_a_folder_or_its_file(folder) -> None:
    assert isinstance(tokenizer_of("bytes"), ByteTokens)
    by_folder, by_file = tokenizer_of(str(folder)), tokenizer_of(str(folder / "tokenizer.json"))
    assert by_folder.fingerprint == by_file.fingerprint
    assert by_folder.name == str(folder)


def test_what_is_no_tokenizer_is_said(folder, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    for name, said in {"nowhere": "There is no folder", "empty": "has no tokenizer.json"}.items():
        with pytest.raises(ModelNotFound, match=said) as caught:
            tokenizer_of(str(tmp_path / name))
        assert "`bytes`, or a folder" in str(caught.value)
    (folder / "tokenizer.json").write_text('{"version": ')
    with pytest.raises(WorkloadError, match="cannot be used"):
        tokenizer_of(str(folder))


def test_the_tokenizer_of_a_file_is_found_where_it_is_kept(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("to be or not")
    tokenize_files(["a.txt"], tokenizer_of("tok"), "a.bin")
    file = open_token_file(tmp_path / "a.bin")
    assert tokenizer_of_file(file).decode(file.tokens) == "to be or not"
    monkeypatch.chdir("/")
    assert tokenizer_of_file(file).name == str(folder)
    folder.rename(saved_beside(file.path))
    assert tokenizer_of_file(file).fingerprint == file.tokenizer_fingerprint
    LibraryTokens(made_tokenizer("bert"), "made").save(saved_beside(file.path))
    with pytest.raises(WorkloadError, match=r"is another one now. Put it into .*a-tokenizer"):
        tokenizer_of_file(file)


def test_bytes_are_always_there(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("é")
    tokenize_files([tmp_path / "a.txt"], ByteTokens(), tmp_path / "a.bin")
    file = open_token_file(tmp_path / "a.bin")
    assert tokenizer_of_file(file).decode(file.tokens) == "é"
