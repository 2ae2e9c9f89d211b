"""Turns tokens into text as they come, never half a character."""

from __future__ import annotations

from typing import Any, Protocol

# What a decoder writes for bytes that are no character, or not yet: one for all of them, or for
# each, of which a character that is not whole has three at most.
_HALF, _MOST_HALVES = "�", 3


class Words(Protocol):
    """Turns tokens into text."""

    def add(self, token: int) -> str:
        """Return the text that a token completes; it may be empty."""

    def rest(self) -> str:
        """Return what is left at the end."""


class TokenNumbers:
    """Writes tokens as their numbers, for models without a tokenizer."""

    def __init__(self) -> None:
        self._begun = False

    def add(self, token: int) -> str:
        """Return the token's number."""
        blank = " " if self._begun else ""
        self._begun = True
        return f"{blank}{token}"

    def rest(self) -> str:
        """Return nothing: a number is whole."""
        return ""


class TokenWords:
    """Writes tokens with a tokenizer.

    A token may end within a character, whose bytes go on in the next one: the last character is
    held back while it is none. How a token is written may depend on those before it, such as
    whether a blank comes first: tokens are decoded together with those of the last text.

    Args:
        tokenizer: transformers' own.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._before: list[int] = []
        self._held: list[int] = []
        self._given = ""

    def add(self, token: int) -> str:
        """Return the text that a token completes; it may be empty."""
        self._held.append(token)
        text = self._text()
        halves = len(text) - len(text.rstrip(_HALF))
        whole = text[: len(text) - min(halves, _MOST_HALVES)]
        new = whole[len(self._given) :]
        self._given = self._given + new
        if whole == text and text:
            self._before, self._held, self._given = self._held, [], ""
        return new

    def rest(self) -> str:
        """Return what is left at the end: half a character is written as one that is missing."""
        left, self._held = self._text()[len(self._given) :], []
        return left

    def _text(self) -> str:
        """Return the text of the tokens that are held."""
        if not self._held:
            return ""
        before = self._decoded(self._before)
        return self._decoded([*self._before, *self._held])[len(before) :]

    def _decoded(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
