"""Files of tokens: a header that says what they are, and the tokens, read through a memory map.

The header is 8 letters that name the form, the length and the CRC-32 of a JSON document (four
bytes each, little-endian), and the document, filled up with blanks. The tokens follow, each one,
two or four bytes, little-endian: the fewest that the vocabulary takes.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from memorymark.data.tokens import Tokens
from memorymark.data.written_whole import written_whole
from memorymark.errors import WorkloadError, quoted

MAGIC = b"MMtokens"
VERSION = 1
_LENGTHS = struct.Struct("<II")
_ALIGNMENT = 64
_LONGEST_HEADER = 1024**2
_LARGEST = 10**18  # room for any count in a header that is written before the tokens are counted
_DTYPES = {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}
_KINDS = {
    "version": int, "tokenizer": str, "tokenizer_fingerprint": str, "vocabulary_size": int,
    "dtype": str, "count": int, "source_bytes": int,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class TokenFile:
    """A file of tokens that was opened.

    Attributes:
        path: Where it lies.
        tokenizer: Name of the tokenizer: "bytes", a folder or a hub id.
        tokenizer_fingerprint: Its fingerprint, the same wherever it was read from.
        vocabulary_size: One more than the largest token of the tokenizer.
        dtype: Type of the tokens in the file: uint8, uint16 or uint32.
        count: How many tokens there are.
        source_bytes: Bytes of the text that they stand for.
        tokens: The tokens (count,), read-only, read from the disk as they are used.
    """

    path: Path
    tokenizer: str
    tokenizer_fingerprint: str
    vocabulary_size: int
    dtype: str
    count: int
    source_bytes: int
    tokens: np.memmap = field(repr=False)

    @property
    def bytes_per_token(self) -> float:
        """Bytes of the text for each token, in the mean of the file."""
        return self.source_bytes / self.count

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the file anew in another process, where else all tokens would be sent."""
        return _opened_as, (self.path, self.tokenizer)


class TokenWriter:
    """Appends tokens to a file that is being written.

    Attributes:
        count: Tokens that were written.
        source_bytes: Bytes of the text that they stand for.
    """

    def __init__(self, file: BinaryIO, tokens: Tokens) -> None:
        self.count = 0
        self.source_bytes = 0
        self._file = file
        self._tokens = tokens
        self._dtype = dtype_of(tokens.vocabulary_size)
        self._length = len(self._header(_LARGEST, _LARGEST))
        file.write(b" " * self._length)

    def append(self, ids: np.ndarray, source_bytes: int) -> None:
        """Write tokens, and count the bytes of the text that they stand for."""
        self._file.write(ids.astype(_DTYPES[self._dtype], copy=False).tobytes())
        self.count += len(ids)
        self.source_bytes += source_bytes

    def finish(self) -> None:
        """Write the header, now that the tokens are counted."""
        self._file.seek(0)
        self._file.write(self._header(self.count, self.source_bytes, self._length))

    def _header(self, count: int, source_bytes: int, length: int = 0) -> bytes:
        values = {
            "version": VERSION,
            "tokenizer": self._tokens.name,
            "tokenizer_fingerprint": self._tokens.fingerprint,
            "vocabulary_size": self._tokens.vocabulary_size,
            "dtype": self._dtype,
            "count": count,
            "source_bytes": source_bytes,
        }
        text = json.dumps(values).encode()
        start = len(MAGIC) + _LENGTHS.size
        whole = length or -(-(start + len(text)) // _ALIGNMENT) * _ALIGNMENT
        text = text.ljust(whole - start)
        return MAGIC + _LENGTHS.pack(len(text), zlib.crc32(text)) + text


@contextmanager
def new_token_file(path: Path, tokens: Tokens) -> Iterator[TokenWriter]:
    """Write a file of tokens, which is there when all are written, and not before.

    Raises:
        NotAvailable: It cannot be written, as where the disk is full.
    """
    with written_whole(path) as file:
        writer = TokenWriter(file, tokens)
        yield writer
        writer.finish()


def dtype_of(vocabulary_size: int) -> str:
    """Return the type with the fewest bytes that takes all tokens of a vocabulary."""
    return next(name for name, kind in _DTYPES.items() if vocabulary_size <= 256**kind.itemsize)


def is_token_file(path: Path) -> bool:
    """Return whether a file begins as one of tokens does.

    Raises:
        WorkloadError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise _unreadable(path, error) from error


def open_token_file(path: str | Path) -> TokenFile:
    """Open a file of tokens; none of them is read yet.

    Raises:
        WorkloadError: It cannot be read, is no file of tokens, or is damaged.
    """
    path = Path(path).expanduser()
    try:
        with open(path, "rb") as file:
            values = _header_of(file, path)
            start = file.tell()
            size = file.seek(0, 2)
    except OSError as error:
        raise _unreadable(path, error) from error
    kind = _DTYPES[values["dtype"]]
    expected = start + values["count"] * kind.itemsize
    if size != expected:
        raise _damaged(path, f"it has {size:,} bytes in place of {expected:,}")
    tokens = np.memmap(path, kind, mode="r", offset=start, shape=(values["count"],))
    del values["version"]
    return TokenFile(path, **values, tokens=tokens)


def _opened_as(path: Path, tokenizer: str) -> TokenFile:
    return replace(open_token_file(path), tokenizer=tokenizer)


def _header_of(file: BinaryIO, path: Path) -> dict[str, Any]:
    begin = file.read(len(MAGIC) + _LENGTHS.size)
    if not begin.startswith(MAGIC):
        raise WorkloadError(
            f"{quoted(str(path))} is no file of tokens. Give one that `memorymark tokenize` wrote, "
            "or a text."
        )
    if len(begin) < len(MAGIC) + _LENGTHS.size:
        raise _damaged(path, "its header breaks off")
    length, checksum = _LENGTHS.unpack(begin[len(MAGIC) :])
    text = file.read(min(length, _LONGEST_HEADER))
    if len(text) != length or zlib.crc32(text) != checksum:
        raise _damaged(path, "its header is not as it was written")
    values = json.loads(text)
    version = values.get("version") if isinstance(values, dict) else None
    if version != VERSION:
        raise WorkloadError(
            f"{quoted(str(path))} is a file of tokens of version {quoted(version)}, and this "
            f"MemoryMark reads version {VERSION}. Write it again with `memorymark tokenize`."
        )
    is_whole = all(type(values.get(name)) is kind for name, kind in _KINDS.items())
    if not is_whole or values["dtype"] not in _DTYPES or values["count"] < 1:
        raise _damaged(path, "its header lacks what it should say")
    return {name: values[name] for name in _KINDS}


def _damaged(path: Path, why: str) -> WorkloadError:
    return WorkloadError(
        f"The file of tokens {quoted(str(path))} is damaged: {why}. Write it again with "
        "`memorymark tokenize`."
    )


def _unreadable(path: Path, error: OSError) -> WorkloadError:
    return WorkloadError(
        f"The file {quoted(str(path))} cannot be read: {error.strerror or error}. Give a file that "
        "is there."
    )
