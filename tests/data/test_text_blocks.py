"""Text is read block by block, and what is no text is refused with the place."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.data.text_blocks import check_text_files, text_blocks
from memorymark.errors import InvalidValue, WorkloadError


def read(path, size: int) -> str:
    return "".join(text for text, _ in text_blocks(path, size))


@settings(deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    size=st.integers(1, 9),
)
def test_a_block_may_end_within_a_character(tmp_path_factory, text: str, size: int) -> None:
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(text.encode())
    assert read(path, size) == text
    assert [done for _, done in text_blocks(path, size)][-1] == len(text.encode())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"abc\0def", "byte 3 is NUL"),
        ("né\0".encode(), "byte 3 is NUL"),
        (b"abc\xff", r"byte 3 \(0xff\) is no UTF-8"),
        (b"ab\xc3(", r"byte 2 \(0xc3\)"),
        ("né".encode() + b"\xe2\x82", r"byte 3 \(0xe2\)"),
        ("ab".encode("utf-16-le"), "byte 1 is NUL"),
        (b"x" * 12_345 + b"\x80", r"byte 12,345 \(0x80\)"),
    ],
)
def test_the_first_byte_that_is_no_text_is_named(tmp_path, data, said, size) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(WorkloadError, match=said) as caught:
        read(tmp_path / "a.txt", size)
    assert "a.txt" in str(caught.value)


def test_an_empty_file_has_no_text(tmp_path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(WorkloadError, match="is empty"):
        read(tmp_path / "a.txt", 10)


def test_what_is_no_file_is_said(tmp_path) -> None:
    (tmp_path / "there.txt").write_text("a")
    os.mkfifo(tmp_path / "pipe")
    for name, said in {"": "a folder", "no": "No such file", "pipe": "no regular file"}.items():
        with pytest.raises(WorkloadError, match=said):
            check_text_files([tmp_path / "there.txt", tmp_path / name])
    with pytest.raises(InvalidValue, match="one text file or more"):
        check_text_files([])
    with pytest.raises(WorkloadError, match="null"):
        check_text_files(["a\0b"])
    assert check_text_files(str(tmp_path / "there.txt")) == (tmp_path / "there.txt",)


def test_a_file_that_may_not_be_read_is_said(tmp_path, monkeypatch) -> None:
    (tmp_path / "a.txt").write_text("a")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(WorkloadError, match="permission denied"):
        check_text_files([tmp_path / "a.txt"])
