"""Files become tokens: bounded memory, progress, what is left out, and what does not suit."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import pytest
from made_tokenizers import WORDS, made_tokenizer

from memorymark.data.byte_tokens import ByteTokens
from memorymark.data.library_tokens import LibraryTokens
from memorymark.data.token_file import open_token_file
from memorymark.data.tokenizing import tokenize_files
from memorymark.errors import Cancelled, InvalidValue, UsageError, WorkloadError
from memorymark.units import MIB

BYTES = ByteTokens()


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(WORDS), newline="")
    return path


def test_bytes_are_the_files_own(text, tmp_path) -> None:
    done = tokenize_files([text], BYTES, tmp_path / "a.bin")
    file = open_token_file(done.output)
    assert file.tokens.tobytes() == text.read_bytes()
    assert (done.tokens, done.source_bytes, done.bytes_per_token) == (*2 * (file.count,), 1.0)
    assert (done.files, done.truncated, done.findings) == ((str(text),), None, ())
    assert done.seconds > 0


def test_files_follow_one_another_and_no_token_goes_over(text, tmp_path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("o be")
    tokens = LibraryTokens(made_tokenizer("gpt2"), "gpt2")
    done = tokenize_files([text, other, text], tokens, tmp_path / "a.bin")
    apart = [
        token
        for path in (text, other, text)
        for token in tokens.encode(path.read_bytes().decode()).tolist()
    ]
    assert open_token_file(tmp_path / "a.bin").tokens.tolist() == apart
    assert "3 files follow one another" in done.findings[0]


@pytest.mark.parametrize("kind", ["bytes", "gpt2"])
@pytest.mark.parametrize("most", [1, 2, 17, 150])
def test_what_is_left_out_is_said(text, tmp_path, kind, most) -> None:
    tokens = BYTES if kind == "bytes" else LibraryTokens(made_tokenizer(kind), kind)
    done = tokenize_files([text], tokens, tmp_path / "a.bin", max_tokens=most)
    whole, total = text.read_bytes(), text.stat().st_size
    ids = tokens.encode(whole.decode())[:most]
    assert open_token_file(done.output).tokens.tolist() == ids.tolist()
    assert done.tokens == most
    assert f"last {total - done.source_bytes:,} of {total:,} bytes" in done.truncated
    if kind == "bytes":
        assert done.source_bytes == most


def test_as_many_tokens_as_there_are_leave_nothing_out(text, tmp_path) -> None:
    total = text.stat().st_size
    done = tokenize_files([text], BYTES, tmp_path / "a.bin", max_tokens=total)
    assert (done.tokens, done.truncated) == (total, None)


def test_progress_is_by_bytes(text, tmp_path) -> None:
    seen = []
    note = lambda done, of: seen.append((done, of))  # noqa: E731
    tokenize_files([text, text], BYTES, tmp_path / "a.bin", on_progress=note)
    total = text.stat().st_size
    assert seen == [(total, 2 * total), (2 * total, 2 * total)]


@pytest.mark.parametrize("kind", ["bytes", "gpt2"])
def test_memory_does_not_grow_with_the_text(tmp_path, kind) -> None:
    tokens = BYTES if kind == "bytes" else LibraryTokens(made_tokenizer(kind), kind)
    line = b"To be, or not to be: that is the question.\n"
    peaks = []
    for size in (24 * MIB, 96 * MIB) if kind == "bytes" else (MIB // 3, MIB):
        with open(tmp_path / "large.txt", "wb") as file:
            for _ in range(size // 65536):
                file.write(line * (65536 // len(line)))
        tracemalloc.start()
        done = tokenize_files([tmp_path / "large.txt"], tokens, tmp_path / "a.bin")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert done.source_bytes > 0.9 * size
    assert peaks[1] < 16 * MIB
    assert peaks[1] < 1.2 * peaks[0]


def test_what_is_killed_leaves_no_half_file_under_the_name(text, tmp_path) -> None:
    code = (
        "import os, sys; from memorymark.data.byte_tokens import ByteTokens; "
        "from memorymark.data.tokenizing import tokenize_files; "
        "tokenize_files(sys.argv[1:2], ByteTokens(), sys.argv[2], "
        "on_progress=lambda done, of: os.kill(os.getpid(), 9))"
    )
    done = subprocess.run([sys.executable, "-c", code, text, tmp_path / "a.bin"], check=False)
    assert done.returncode == -9
    left = {each.name for each in tmp_path.iterdir()} - {"text.txt"}
    assert "a.bin" not in left and all(name.endswith(".part") for name in left)


def test_the_user_may_stop_it_and_nothing_is_left(text, tmp_path) -> None:
    def check():
        raise Cancelled

    with pytest.raises(Cancelled):
        tokenize_files([text], BYTES, tmp_path / "a.bin", check=check)
    assert [each.name for each in tmp_path.iterdir()] == ["text.txt"]


def test_a_text_that_turns_binary_leaves_nothing(text, tmp_path) -> None:
    with open(text, "ab") as file:
        file.write(b"\0")
    with pytest.raises(WorkloadError, match="is NUL"):
        tokenize_files([text], BYTES, tmp_path / "a.bin")
    assert [each.name for each in tmp_path.iterdir()] == ["text.txt"]


def test_where_tokens_cannot_go_is_said_before_the_work(text, tmp_path) -> None:
    for output, said in {
        tmp_path: "is a folder", tmp_path / "no" / "a.bin": "in no folder that exists",
        text: "one of the files that are read",
    }.items():  # fmt: skip
        with pytest.raises(UsageError, match=said):
            tokenize_files([text], BYTES, output)
    with pytest.raises(InvalidValue, match="max tokens is 0"):
        tokenize_files([text], BYTES, tmp_path / "a.bin", max_tokens=0)


def test_a_text_of_which_no_token_is_left_is_refused(tmp_path) -> None:
    (tmp_path / "a.txt").write_text(" \n ")
    tokens = LibraryTokens(made_tokenizer("bert"), "bert")
    with pytest.raises(WorkloadError, match="leaves no token"):
        tokenize_files([tmp_path / "a.txt"], tokens, tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()
