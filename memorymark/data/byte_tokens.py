"""The tokenizer whose tokens are bytes: the value of a byte is its token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memorymark.data.tokens import Piece
from memorymark.data.written_whole import save_tokenizer
from memorymark.records.tokenized import BYTES

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCABULARY = 256
_NO_UTF8 = 0xFF  # stands in no text
# What byte-level tokenizers write for a byte: itself where it is a visible character of Latin-1,
# else the next character above it, in the order of the bytes. A test holds it against tokenizers'.
_VISIBLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))


def byte_letters() -> list[str]:
    """Return the character that a byte-level tokenizer writes for each byte, by its value."""
    hidden = iter(range(VOCABULARY, 2 * VOCABULARY))
    return [chr(byte if byte in _VISIBLE else next(hidden)) for byte in range(VOCABULARY)]


class ByteTokens:
    """The bytes of UTF-8 as tokens.

    Attributes:
        name: "bytes".
        fingerprint: That of no other tokenizer.
        vocabulary_size: 256.
    """

    name = BYTES
    fingerprint = sha256(b"tokens are the values of bytes").hexdigest()
    vocabulary_size = VOCABULARY

    def encode(self, text: str) -> np.ndarray:
        """Return the bytes of a text, int64."""
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Return the text of bytes; what is no UTF-8, or no byte, becomes U+FFFD."""
        numbers = np.asarray(ids, np.int64)
        is_byte = (numbers >= 0) & (numbers < VOCABULARY)
        return (
            np.where(is_byte, numbers, _NO_UTF8)
            .astype(np.uint8)
            .tobytes()
            .decode("utf-8", "replace")
        )

    def stream(self, blocks: Iterable[str]) -> Iterator[Piece]:
        """Return the bytes of each block: no token goes over the end of one."""
        for block in blocks:
            ids = np.frombuffer(block.encode(), np.uint8)
            yield Piece(ids, len(ids), lambda count: count)

    def save(self, folder: Path) -> None:
        """Write it as a byte-level tokenizer without any merges.

        Raises:
            NotAvailable: The folder cannot be written.
        """
        save_tokenizer(folder, byte_backend().to_str(pretty=True))


def byte_backend() -> Tokenizer:
    """Return the byte-level tokenizer without merges, whose tokens are the values of bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {letter: byte for byte, letter in enumerate(byte_letters())}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return backend
