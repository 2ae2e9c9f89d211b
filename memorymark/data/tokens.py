"""What a tokenizer is to the rest of MemoryMark, whichever library it is of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Piece:
    """The tokens of a piece of a text.

    Attributes:
        ids: The tokens, of any type of whole numbers.
        source_bytes: Bytes of the text that they stand for.
        first_bytes: Bytes of the text that the first so many of them reach over.
        was_forced: Whether the piece ends where the tokenizer might have gone on over its end.
    """

    ids: np.ndarray
    source_bytes: int
    first_bytes: Callable[[int], int]
    was_forced: bool = False


class Tokens(Protocol):
    """A tokenizer.

    Attributes:
        name: "bytes", or the folder or hub id that it was read from.
        fingerprint: The same for the same tokens, wherever they were read from.
        vocabulary_size: One more than the largest token.
    """

    name: str
    fingerprint: str
    vocabulary_size: int

    def encode(self, text: str) -> np.ndarray:
        """Return the tokens of a text, int64, without any that mark its begin or end."""

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Return the text of tokens; bytes that are no characters become U+FFFD."""

    def stream(self, blocks: Iterable[str]) -> Iterator[Piece]:
        """Return the tokens of a text that comes block by block, the same as of it at once."""

    def save(self, folder: Path) -> None:
        """Write it as transformers' AutoTokenizer and `tokenizer_of` read it."""
