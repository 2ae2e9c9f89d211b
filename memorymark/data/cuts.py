"""Where a long text may be cut, so that its parts have the tokens of the whole.

A text is cut before a blank or a line's end that follows something else, where both hold:

1. No entry of the vocabulary has these two characters side by side. So no token goes over the cut,
   and what a model (BPE, WordPiece, Unigram) does on one side does not depend on the other.
2. The tokenizer itself, asked about the thousands of characters around the cut, gives the tokens
   of the left part followed by those of the right. So what its other steps do there (what is
   normalized, how words are found, what is put before a text or stripped from it) is seen.

Some tokenizers write a blank before each text. For these the blank at the cut is left out, where
the second condition holds with that and not without.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from memorymark.data.byte_tokens import byte_letters

if TYPE_CHECKING:
    from tokenizers import Tokenizer

AROUND = 2048  # characters on each side of a cut that the tokenizer is asked about
_TRIED = 64
_CANDIDATE = re.compile(r"(?<=\S)[ \n\r\t]")
_SIDE_BY_SIDE = re.compile(rb"(?=([^ \n\r\t][ \n\r\t]))", re.DOTALL)
_BYTES = {letter: byte for byte, letter in enumerate(byte_letters())}
_BLANK_OF_SENTENCEPIECE = "▁"


class Cut(NamedTuple):
    """A place where a text may be cut.

    Attributes:
        end: Where the left part ends.
        start: Where the right part begins: there, or after a blank that the tokenizer writes.
    """

    end: int
    start: int


class Cutter:
    """Finds where texts may be cut for a tokenizer.

    Args:
        backend: The tokenizer, of the library `tokenizers`.
    """

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        self._left_out = 0

    def last_cut(self, text: str) -> Cut | None:
        """Return the last place of those tried where a text may be cut; None where there is none.

        What follows the text may be anything: `AROUND` of its characters stand behind the cut.
        """
        found = [match.start() for match in _CANDIDATE.finditer(text, 0, len(text) - AROUND)]
        allowed = (at for at in reversed(found) if self._no_token_goes_over(text, at))
        for at, _ in zip(allowed, range(_TRIED), strict=False):
            for left_out in (self._left_out, 1 - self._left_out):
                if (not left_out or text[at] == " ") and self._is_same(text, at, left_out):
                    self._left_out = left_out
                    return Cut(at, at + left_out)
        return None

    def _no_token_goes_over(self, text: str, at: int) -> bool:
        return text[at - 1 : at + 1].encode()[-2:] not in self._joined

    def _is_same(self, text: str, at: int, left_out: int) -> bool:
        begin, end = max(0, at - AROUND), at + AROUND
        left, right = self._ids(text[begin:at]), self._ids(text[at + left_out : end])
        return left + right == self._ids(text[begin:end])

    def _ids(self, text: str) -> list[int]:
        return self._backend.encode(text, add_special_tokens=False).ids

    @cached_property
    def _joined(self) -> frozenset[bytes]:
        """Bytes that an entry of the vocabulary has before a blank or a line's end, with it."""
        found: set[bytes] = set()
        for entry in self._backend.get_vocab(with_added_tokens=True):
            for form in _forms(entry):
                found.update(_SIDE_BY_SIDE.findall(form))
        return frozenset(found)


def _forms(entry: str) -> list[bytes]:
    """Return the bytes that an entry may stand for: as letters for bytes, and as text."""
    forms = [entry.replace(_BLANK_OF_SENTENCEPIECE, " ").encode(errors="replace")]
    if all(letter in _BYTES for letter in entry):
        forms.append(bytes(_BYTES[letter] for letter in entry))
    return forms
