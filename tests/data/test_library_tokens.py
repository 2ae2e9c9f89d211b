"""Tokenizers of the library: what they do beside tokens is off, and they are told apart."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_tokenizers import KINDS, made_tokenizer
from tokenizers import Tokenizer

from memorymark.data.library_tokens import LibraryTokens
from memorymark.data.tokenizer_files import tokenizer_of

TEXT = "To be, or not to be: that is the question.\nWhether 'tis nobler in the mind " * 3


def of(kind: str) -> LibraryTokens:
    return LibraryTokens(made_tokenizer(kind), kind)


def test_neither_cut_nor_filled_up_nor_with_tokens_at_the_ends() -> None:
    ids = of("llama3").encode(TEXT)
    assert len(ids) > 16 and ids.dtype == np.int64
    assert of("llama3").decode(ids) == TEXT
    assert len(of("llama3").encode("a")) == 1


def test_nothing_is_drawn_at_random() -> None:
    backend = made_tokenizer("gpt2")
    backend.model.dropout = 0.9
    tokens = LibraryTokens(backend, "gpt2")
    assert tokens.encode(TEXT).tolist() == of("gpt2").encode(TEXT).tolist()
    assert tokens.fingerprint == of("gpt2").fingerprint


def test_each_tokenizer_has_a_fingerprint_of_its_own() -> None:
    found = {of(kind).fingerprint for kind in KINDS}
    assert len(found) == len(KINDS)


def test_what_stands_for_nothing_does_not_change_the_fingerprint() -> None:
    values = json.loads(made_tokenizer("gpt2").to_str())
    values["model"].pop("dropout")
    values["truncation"] = None
    less = LibraryTokens(Tokenizer.from_str(json.dumps(values)), "less")
    assert less.fingerprint == of("gpt2").fingerprint
    del values["model"]["vocab"][next(iter(values["model"]["vocab"]))]
    values["model"]["vocab"]["another"] = 0
    values["model"]["merges"] = []
    other = LibraryTokens(Tokenizer.from_str(json.dumps(values)), "other")
    assert other.fingerprint != of("gpt2").fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_the_vocabulary_takes_every_token(kind: str) -> None:
    tokens = of(kind)
    assert tokens.encode(TEXT).max() < tokens.vocabulary_size


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_read_it_is_the_same(kind: str, tmp_path) -> None:
    of(kind).save(tmp_path / "new")
    read = tokenizer_of(str(tmp_path / "new"))
    assert read.fingerprint == of(kind).fingerprint
    assert read.encode(TEXT).tolist() == of(kind).encode(TEXT).tolist()


def test_what_says_how_to_use_it_is_saved_with_it(tmp_path) -> None:
    of("gpt2").save(tmp_path / "one")
    (tmp_path / "one" / "chat_template.jinja").write_text("{{ messages }}")
    (tmp_path / "one" / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>"}')
    tokenizer_of(str(tmp_path / "one")).save(tmp_path / "two")
    assert (tmp_path / "two" / "chat_template.jinja").read_text() == "{{ messages }}"
    assert "endoftext" in (tmp_path / "two" / "tokenizer_config.json").read_text()
