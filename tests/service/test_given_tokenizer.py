"""What stands for a tokenizer in a call: bytes, folders of any age, and hub ids where allowed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from transformers import BertTokenizer

from memorymark.data.library_tokens import LibraryTokens
from memorymark.data.train_tokenizer import train_tokenizer
from memorymark.errors import ModelNotFound, WorkloadError
from memorymark.service import given_tokenizer as service
from memorymark.service.given_tokenizer import given_tokenizer


@pytest.fixture
def made(tmp_path) -> LibraryTokens:
    (tmp_path / "a.txt").write_text("to be or not to be " * 20)
    return train_tokenizer([tmp_path / "a.txt"], 260, "made")


def test_bytes_and_folders(made, tmp_path) -> None:
    made.save(tmp_path / "tok")
    assert given_tokenizer("bytes").vocabulary_size == 256
    assert given_tokenizer(str(tmp_path / "tok")).fingerprint == made.fingerprint
    for name, said in {
        "a/b/c": "There is no folder",
        str(tmp_path): "no tokenizer",
    }.items():
        with pytest.raises(ModelNotFound, match=said):
            given_tokenizer(name)


def test_an_older_folder_is_read_by_transformers(tmp_path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "to", "be", "or"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    tokens = given_tokenizer(str(tmp_path))
    expected = BertTokenizer(str(tmp_path / "vocab.txt"))("to be x", add_special_tokens=False)
    assert tokens.encode("to be x").tolist() == expected["input_ids"] == [5, 6, 1]


def test_an_older_tokenizer_without_such_a_form_is_refused(tmp_path, monkeypatch) -> None:
    processors = type("Processors", (), {"__init__": lambda self, folder: None, "tokenizer": 3})
    monkeypatch.setattr("memorymark.workloads.processor_files.Processors", processors)
    with pytest.raises(WorkloadError, match=r"is a int, which cannot be read as a tokenizer\.json"):
        given_tokenizer(str(tmp_path))


def test_a_hub_id_is_for_the_command_line_alone(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFound, match="on the command line a hub id, too"):
        given_tokenizer("nobody/nothing")
    with pytest.raises(ModelNotFound, match=r"not found on the Hugging Face hub.*`bytes`"):
        given_tokenizer("nobody/nothing", from_hub=True)


def test_a_tokenizer_of_the_hub_goes_by_the_name_of_its_repository(
    made, tmp_path, monkeypatch
) -> None:
    made.save(tmp_path / "snapshot")
    asked = []

    def fetched(repository: str, *, local: bool) -> Path:
        asked.append((repository, local))
        return tmp_path / "snapshot"

    monkeypatch.setattr(service, "_fetched", fetched)
    tokens = given_tokenizer("gpt2", from_hub=True)
    assert (tokens.name, tokens.fingerprint) == ("openai-community/gpt2", made.fingerprint)
    assert asked == [("openai-community/gpt2", True)]


def test_the_name_of_bytes_needs_no_library() -> None:
    assert "memorymark.service.given_tokenizer" in sys.modules
    assert given_tokenizer("bytes", from_hub=True).name == "bytes"
