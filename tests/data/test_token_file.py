"""Files of tokens: what is written is read, and what is damaged is refused in a sentence."""

from __future__ import annotations

import pickle
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.data.byte_tokens import ByteTokens
from memorymark.data.token_file import (
    MAGIC,
    dtype_of,
    is_token_file,
    new_token_file,
    open_token_file,
)
from memorymark.errors import NotAvailable, WorkloadError


class Made(ByteTokens):
    """A tokenizer with a vocabulary of any size."""

    def __init__(self, size: int, name: str = "made") -> None:
        self.vocabulary_size, self.name = size, name


def written(path, *rows, tokens=None):
    with new_token_file(path, tokens or ByteTokens()) as writer:
        for row in rows:
            writer.append(np.asarray(row), 2 * len(row))
    return open_token_file(path)


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(1, "uint8"), (256, "uint8"), (257, "uint16"), (65536, "uint16"), (65537, "uint32")],
)
def test_a_token_takes_as_few_bytes_as_the_vocabulary_needs(tmp_path, size, dtype) -> None:
    assert dtype_of(size) == dtype
    file = written(tmp_path / "a.bin", [0, size - 1], [size // 2], tokens=Made(size, "é" * 50))
    assert (file.dtype, file.tokens.dtype) == (dtype, dtype)
    assert file.tokens.tolist() == [0, size - 1, size // 2]
    assert (file.count, file.source_bytes, file.bytes_per_token) == (3, 6, 2.0)
    assert (file.tokenizer, file.vocabulary_size) == ("é" * 50, size)


def test_it_is_read_only_and_opened_anew_in_another_process(tmp_path) -> None:
    file = written(tmp_path / "a.bin", [1, 2])
    assert isinstance(file.tokens, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        file.tokens[0] = 3
    again = pickle.loads(pickle.dumps(file))
    assert isinstance(again.tokens, np.memmap) and again.tokens.tolist() == [1, 2]
    assert is_token_file(tmp_path / "a.bin")


@settings(max_examples=50, deadline=None)
@given(cut=st.integers(0, 10_000))
def test_a_file_that_breaks_off_is_refused(tmp_path_factory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.bin"
    written(path, np.arange(200))
    whole = path.read_bytes()
    path.write_bytes(whole[: cut % len(whole)])
    with pytest.raises(WorkloadError, match=r"damaged|no file of tokens"):
        open_token_file(path)


@settings(max_examples=50, deadline=None)
@given(at=st.integers(0, 10_000), by=st.integers(1, 255))
def test_a_changed_header_is_refused(tmp_path_factory, at: int, by: int) -> None:
    path = tmp_path_factory.mktemp("changed") / "a.bin"
    written(path, np.arange(200))
    data = bytearray(path.read_bytes())
    data[at % (len(data) - 200)] ^= by
    path.write_bytes(data)
    with pytest.raises(WorkloadError, match=r"damaged|no file of tokens"):
        open_token_file(path)


def with_header(path, text: bytes):
    path.write_bytes(MAGIC + struct.pack("<II", len(text), zlib.crc32(text)) + text)
    return path


def test_other_files_are_refused(tmp_path) -> None:
    path = tmp_path / "a.bin"
    for data in (b"", b"text", b"\0" * 1000):
        path.write_bytes(data)
        assert not is_token_file(path)
        with pytest.raises(WorkloadError, match=r"is no file of tokens\. Give"):
            open_token_file(path)
    with pytest.raises(WorkloadError, match="No such file"):
        open_token_file(tmp_path / "nowhere.bin")
    with pytest.raises(WorkloadError, match="cannot be read"):
        is_token_file(tmp_path)
    with pytest.raises(WorkloadError, match="of version 7, and this MemoryMark reads version 1"):
        open_token_file(with_header(path, b'{"version": 7}'))
    with pytest.raises(WorkloadError, match="lacks what it should say"):
        open_token_file(with_header(path, b'{"version": 1, "dtype": "float64", "count": true}'))


def test_work_that_ends_early_leaves_nothing_and_keeps_what_was(tmp_path) -> None:
    path = tmp_path / "a.bin"
    written(path, [7])
    with pytest.raises(KeyboardInterrupt), new_token_file(path, ByteTokens()) as writer:
        writer.append(np.arange(100), 100)
        raise KeyboardInterrupt
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]
    assert open_token_file(path).tokens.tolist() == [7]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch) -> None:
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(NotAvailable, match=r"a\.bin' cannot be written: No space left on device"):
        written(tmp_path / "a.bin", [1])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotAvailable, match="No such file or directory"):
        written(tmp_path / "nowhere" / "a.bin", [1])
