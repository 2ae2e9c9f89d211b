"""Windows of a text: none overlaps another, and training and evaluation have nothing in common."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.data.byte_tokens import ByteTokens
from memorymark.data.text_samples import split, whole_text
from memorymark.data.token_file import new_token_file, open_token_file
from memorymark.errors import InvalidValue, WorkloadError


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokens") / "a.bin"
    with new_token_file(path, ByteTokens()) as writer:
        writer.append(np.arange(250), 500)
    return open_token_file(path)


def read(samples):
    return samples.read(range(len(samples)))["input_ids"]


def test_a_batch_is_new_contiguous_and_its_labels_are_its_tokens(file) -> None:
    samples = whole_text(file, 20)
    assert (len(samples), samples.tokens_per_sample, samples.bytes_per_token) == (12, 20, 2.0)
    batch = samples.read([3, 0, 3])
    assert list(batch) == ["input_ids", "attention_mask", "labels"]
    for array in batch.values():
        assert array.shape == (3, 20) and array.dtype == np.int64
        assert array.flags.c_contiguous and array.flags.owndata and array.flags.writeable
    assert batch["input_ids"][:, 0].tolist() == [60, 0, 60]
    assert (batch["attention_mask"] == 1).all()
    assert np.array_equal(batch["input_ids"], batch["labels"])
    batch["labels"][:] = -100
    assert batch["input_ids"].min() >= 0 and samples.read([])["labels"].shape == (0, 20)


@settings(deadline=None)
@given(seq_len=st.integers(1, 25), share=st.floats(0.11, 0.89), epoch=st.integers(0, 1000))
def test_training_and_evaluation_have_no_token_in_common(file, seq_len, share, epoch) -> None:
    train, evaluation = split(file, seq_len, share)
    assert train.tokens + evaluation.tokens == file.count
    shifted = train.shifted(epoch)
    first, last = read(shifted).ravel(), read(evaluation).ravel()
    assert np.array_equal(first, np.arange(first[0], first[0] + len(first)))
    assert first.max() < last.min() == round(train.tokens)
    assert len(train) - 1 <= len(shifted) <= len(train)
    assert len(shifted) >= 1 and first[0] < seq_len


def test_epochs_begin_elsewhere_and_the_same_each_time(file) -> None:
    samples = whole_text(file, 50)
    shifts = [samples.shifted(epoch).shift for epoch in range(20)]
    assert shifts[0] == 0 and len(set(shifts)) > 15
    assert shifts == [samples.shifted(1).shifted(epoch).shift for epoch in range(20)]
    only = whole_text(file, 250)
    assert only.shifted(7).shift == 0 and len(only.shifted(7)) == 1


def test_the_end_is_for_evaluation(file) -> None:
    train, evaluation = split(file, 5)
    assert (train.tokens, evaluation.start, evaluation.stop) == (225, 225, 250)


def test_what_is_too_short_is_said(file) -> None:
    with pytest.raises(WorkloadError, match="part to evaluate on has 25 tokens, fewer than"):
        split(file, 26)
    with pytest.raises(WorkloadError, match=r"part to train on has 2\d tokens"):
        split(file, 26, 0.9)
    with pytest.raises(WorkloadError, match="The text has 250 tokens"):
        whole_text(file, 251)


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, "a", True, float("nan")])
def test_a_share_is_one(file, share) -> None:
    with pytest.raises(InvalidValue, match="evaluation share"):
        split(file, 5, share)


@pytest.mark.parametrize("seq_len", [0, -1, 1.5, True])
def test_a_length_is_a_count(file, seq_len) -> None:
    with pytest.raises(InvalidValue, match="sequence length"):
        whole_text(file, seq_len)


def test_there_is_no_window_beyond_the_last(file) -> None:
    for index in (-1, 12):
        with pytest.raises(IndexError, match="of 12"):
            whole_text(file, 20).read([index])


def test_tokens_that_the_tokenizer_does_not_have_are_refused(file) -> None:
    small = dataclasses.replace(file, vocabulary_size=200)
    assert whole_text(small, 20).read([0])["input_ids"].max() == 19
    with pytest.raises(WorkloadError, match="holds token 219, and its tokenizer has 200"):
        whole_text(small, 20).read([0, 10])
