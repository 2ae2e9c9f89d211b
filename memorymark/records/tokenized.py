"""What became of texts that were turned into tokens, and how they were asked to be. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memorymark.errors import UsageError
from memorymark.records.codec import Record
from memorymark.records.option import check_options, option

MOST_TOKENS = 10**15
BYTES = "bytes"


@dataclass(frozen=True)
class TokenizePlan(Record):
    """How texts become tokens.

    Raises:
        UsageError: A value is not accepted, or two contradict one another.

    Example:
        >>> TokenizePlan(max_tokens=1_000_000).tokenizer
        'bytes'
    """

    options_panel: ClassVar[str] = "Tokenizing options"

    tokenizer: str = option(
        BYTES, "Tokenizer",
        "bytes, whose tokens are the values of bytes; a folder with a tokenizer; or a hub id.",
    )  # fmt: skip
    train_tokenizer: int | None = option(
        None, "Train a tokenizer",
        "Train a tokenizer with so many tokens from the text, and take it; it is saved beside the "
        "output.",
        largest=1_000_000,
    )  # fmt: skip
    max_tokens: int | None = option(
        None, "Most tokens", "Write so many tokens at most, and say what is left out.",
        largest=MOST_TOKENS,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_options(self)
        if self.train_tokenizer is not None and self.tokenizer != BYTES:
            raise UsageError(
                f"Both a tokenizer ({self.tokenizer}) and one to be trained are given. Give "
                "--tokenizer or --train-tokenizer."
            )


@dataclass(frozen=True)
class Tokenized(Record):
    """Texts that were turned into a file of tokens.

    Attributes:
        files: The text files, in the order of their tokens.
        tokenizer: Name of the tokenizer.
        vocabulary_size: One more than its largest token.
        tokens: Tokens that were written.
        source_bytes: Bytes of the text that they stand for.
        seconds: Seconds that it took, measured on this machine; without training the tokenizer.
        output: The file that was written.
        truncated: What was left out and why, in a sentence; None where nothing was.
        tokenizer_folder: Where the tokenizer was saved; None where it was not.
        findings: What to know of the result, one sentence each.
    """

    json_extra: ClassVar[tuple[str, ...]] = ("bytes_per_token",)

    files: tuple[str, ...]
    tokenizer: str
    vocabulary_size: int
    tokens: int
    source_bytes: int
    seconds: float
    output: str
    truncated: str | None = None
    tokenizer_folder: str | None = None
    findings: tuple[str, ...] = ()

    @property
    def bytes_per_token(self) -> float | None:
        """Bytes of the text for each token, in the mean; None without tokens."""
        return self.source_bytes / self.tokens if self.tokens else None
