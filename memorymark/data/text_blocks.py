"""Reads text files block by block, and refuses what is no text."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from memorymark.errors import InvalidValue, WorkloadError, quoted

BLOCK_BYTES = 256 * 1024


def check_text_files(files: Sequence[str | Path]) -> tuple[Path, ...]:
    """Return the paths of text files that are there, and can be read.

    Raises:
        InvalidValue: There are none.
        WorkloadError: One is missing, a folder, or cannot be read.
    """
    if isinstance(files, str | Path):
        files = (files,)
    if not files:
        raise InvalidValue("list of files", list(files), "one text file or more")
    paths = tuple(Path(file).expanduser() for file in files)
    for path in paths:
        _check_file(path)
    return paths


def text_blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[str, int]]:
    """Read a text file block by block, whatever its size.

    Args:
        path: The file.
        block_bytes: Bytes that are read at once.

    Yields:
        Each block's text, and the bytes that were read up to its end.

    Raises:
        WorkloadError: It cannot be read, is empty, or is no text in UTF-8: with the offset of the
            first byte that is none. A character that a block's end cuts is none of these.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    try:
        with open(path, "rb") as file:
            while data := file.read(block_bytes):
                yield _decoded(decoder, data, path, done), done + len(data)
                done += len(data)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    _decoded(decoder, b"", path, done)
    if done == 0:
        raise WorkloadError(f"The file {quoted(str(path))} is empty. Give a file with text.")


def _decoded(decoder: codecs.IncrementalDecoder, data: bytes, path: Path, done: int) -> str:
    """Return the text of bytes; of none, check that no character is left half."""
    held = len(decoder.getstate()[0])
    nul = data.find(0)
    try:
        text = decoder.decode(data[:nul] if nul >= 0 else data, final=not data)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise _no_text(
            path, f"byte {done - held + error.start:,} (0x{byte:02x}) is no UTF-8"
        ) from error
    if nul >= 0:
        raise _no_text(path, f"byte {done + nul:,} is NUL")
    return text


def _no_text(path: Path, why: str) -> WorkloadError:
    return WorkloadError(
        f"The file {quoted(str(path))} is no text: {why}, counted from 0. Give plain text in UTF-8."
    )


def _unreadable(path: Path, why: str) -> WorkloadError:
    return WorkloadError(f"The file {quoted(str(path))} cannot be read: {why}. Give a text file.")


def _check_file(path: Path) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise _unreadable(path, str(error)) from error
    if stat.S_ISDIR(mode):
        raise _unreadable(path, "it is a folder")
    if not stat.S_ISREG(mode):
        raise _unreadable(path, "it is no regular file")
    if not os.access(path, os.R_OK):
        raise _unreadable(path, "permission denied")
