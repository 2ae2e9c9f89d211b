"""Bytes as tokens, and as a tokenizer.json that transformers reads the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

from memorymark.data.byte_tokens import ByteTokens, byte_backend, byte_letters
from memorymark.data.library_tokens import LibraryTokens
from memorymark.data.tokenizer_files import tokenizer_of

TOKENS = ByteTokens()
texts = st.text(st.characters(exclude_categories=["Cs"]))


@settings(deadline=None)
@given(texts)
def test_tokens_are_the_bytes_of_the_text(text: str) -> None:
    ids = TOKENS.encode(text)
    assert ids.dtype == np.int64 and bytes(ids.tolist()) == text.encode()
    assert TOKENS.decode(ids) == text


def test_half_a_character_is_a_replacement() -> None:
    assert TOKENS.decode([0x61, 0xC3]) == "a\ufffd"
    assert TOKENS.decode([0x61, 256, -1, 0x62]) == "a\ufffd\ufffdb"


def test_letters_are_those_of_byte_level_tokenizers() -> None:
    assert sorted(byte_letters()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    ((letters, _),) = level.pre_tokenize_str("".join(map(chr, range(128))))
    assert list(letters) == byte_letters()[:128]


@pytest.fixture(scope="module", params=["alone", "beside-a-config"])
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bytes")
    TOKENS.save(folder)
    if request.param != "alone":  # as in the folder of a checkpoint
        (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "vocab_size": 256}))
    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


@settings(max_examples=300, deadline=None)
@given(text=texts)
def test_transformers_reads_and_writes_the_same_tokens(saved, text: str) -> None:
    ids = saved(text)["input_ids"]
    assert ids == list(text.encode())
    assert saved.decode(ids, clean_up_tokenization_spaces=False) == text


def test_every_byte_is_there(saved) -> None:
    assert len(saved) == 256
    assert [saved.convert_ids_to_tokens(byte) for byte in range(256)] == byte_letters()
    assert saved.decode(list("é , x .".encode())) == "é , x ."


def test_saved_and_read_it_is_the_same(tmp_path) -> None:
    TOKENS.save(tmp_path)
    read = tokenizer_of(str(tmp_path))
    assert isinstance(read, ByteTokens) and read.fingerprint == TOKENS.fingerprint
    library = LibraryTokens(byte_backend(), "bytes")
    assert library.encode("né\n").tolist() == TOKENS.encode("né\n").tolist()


def test_a_tokenizer_of_256_words_is_not_it(tmp_path) -> None:
    backend = byte_backend()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    LibraryTokens(backend, "other").save(tmp_path)
    assert isinstance(tokenizer_of(str(tmp_path)), LibraryTokens)
