"""Tokenizers of the library `tokenizers`, which most published models come with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memorymark.data.cuts import AROUND, Cut, Cutter
from memorymark.data.tokens import Piece
from memorymark.data.written_whole import save_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHUNK = 64 * 1024
_LONGEST_CHUNK = 4 * 1024**2
# What a tokenizer.json says beside what its tokens are.
_NOT_OF_THE_TOKENS = ("version", "truncation", "padding")


class LibraryTokens:
    """A tokenizer of the library `tokenizers`.

    What it does beside tokens is turned off: texts are neither cut nor filled up to a length, and
    nothing is drawn at random.

    Args:
        backend: The tokenizer.
        name: What it goes by.
        folder: Where it was read from; what lies beside it there is saved with it.
    """

    def __init__(self, backend: Tokenizer, name: str, folder: Path | None = None) -> None:
        backend.no_truncation()
        backend.no_padding()
        if getattr(backend.model, "dropout", None):
            backend.model.dropout = None
        self.name = name
        self._backend = backend
        self._folder = folder

    @cached_property
    def vocabulary_size(self) -> int:
        """One more than the largest token."""
        return 1 + max(self._backend.get_vocab(with_added_tokens=True).values(), default=0)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that its tokens depend on; a newer version of the library keeps it."""
        values = json.loads(self._backend.to_str())
        kept = {key: value for key, value in values.items() if key not in _NOT_OF_THE_TOKENS}
        return sha256(json.dumps(_said(kept), sort_keys=True).encode()).hexdigest()

    def encode(self, text: str) -> np.ndarray:
        """Return the tokens of a text, int64, without any that mark its begin or end."""
        return np.array(self._backend.encode(text, add_special_tokens=False).ids, np.int64)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Return the text of tokens; bytes that are no characters become U+FFFD."""
        return self._backend.decode([int(each) for each in ids], skip_special_tokens=False)

    def stream(self, blocks: Iterable[str]) -> Iterator[Piece]:
        """Return the tokens of a text that comes block by block, cut as `cuts` says.

        A text of more than 4 million characters without a place to cut is cut where it stands:
        such a piece says that it was.
        """
        cutter, held, wanted = Cutter(self._backend), "", _CHUNK
        for block in blocks:
            held += block
            while len(held) >= wanted + AROUND:
                cut = cutter.last_cut(held[: wanted + AROUND])
                was_forced = cut is None and wanted >= _LONGEST_CHUNK
                if was_forced:
                    cut = Cut(wanted, wanted)
                if cut is None:
                    wanted *= 2
                    continue
                yield self._piece(held[: cut.start], cut.end, was_forced)
                held, wanted = held[cut.start :], _CHUNK
        if held:
            yield self._piece(held, len(held), was_forced=False)

    def save(self, folder: Path) -> None:
        """Write it as transformers' AutoTokenizer and `tokenizer_of` read it.

        Raises:
            NotAvailable: The folder cannot be written.
        """
        save_tokenizer(folder, self._backend.to_str(pretty=True), self._folder)

    def _piece(self, text: str, end: int, was_forced: bool) -> Piece:
        """Return the tokens of a text up to its end, with the bytes of all of it."""
        # One at a time: of several at once the library leaves threads behind, and a process with
        # threads cannot fork.
        encoding = self._backend.encode(text[:end], add_special_tokens=False)
        ids = np.array(encoding.ids, np.int64)

        def first_bytes(count: int) -> int:
            reached = max((last for _, last in encoding.offsets[:count]), default=0)
            return len(text[:reached].encode())

        return Piece(ids, len(text.encode()), first_bytes, was_forced)


def _said(value: Any) -> Any:
    """Return a JSON value without what stands for nothing: a newer version may name more of it."""
    if isinstance(value, dict):
        said = {key: _said(each) for key, each in value.items()}
        return {key: each for key, each in said.items() if not _is_nothing(each)}
    return [_said(each) for each in value] if isinstance(value, list) else value


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or value in ([], {})
