"""Samples of a text: windows of so many tokens, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from memorymark.data.samples import Samples
from memorymark.data.token_file import TokenFile
from memorymark.errors import InvalidValue, WorkloadError, quoted
from memorymark.records.option import check_count

_LONGEST = 10_000_000
# Fractions of whole multiples of it lie as evenly as can be, however many there are.
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class TextSamples(Samples):
    """Windows of a part of a file of tokens. None overlaps another, and all are whole.

    A sample's labels are its tokens: models shift them by one themselves, so that a window of n
    tokens teaches n - 1.

    Attributes:
        file: The file of tokens.
        tokens_per_sample: Tokens of a window.
        start: The first token of the part.
        stop: The one after its last.
        shift: Tokens of the part that come before its first window.
    """

    file: TokenFile
    tokens_per_sample: int
    start: int
    stop: int
    shift: int = 0

    def __len__(self) -> int:
        """Return how many windows there are."""
        return (self.stop - self.start - self.shift) // self.tokens_per_sample

    @property
    def tokens(self) -> int:
        """How many tokens the part has; those that fill no window are among them."""
        return self.stop - self.start

    @property
    def bytes_per_token(self) -> float:
        """Bytes of the text for each token, in the mean of the whole file.

        A loss per token becomes one per byte by it, exactly so with the tokenizer bytes.
        """
        return self.file.bytes_per_token

    def shifted(self, epoch: int) -> TextSamples:
        """Return the windows of an epoch: later ones end elsewhere, the same ones each time.

        Windows begin up to one window's length later, as far as one is left, so that there may be
        one fewer. Those of epoch 0 begin at the start.
        """
        room = min(self.tokens_per_sample, self.tokens - self.tokens_per_sample + 1)
        return replace(self, shift=int(epoch * _GOLDEN % 1 * room))

    def read(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return windows by their numbers: input_ids, attention_mask, labels (n, tokens), int64.

        Raises:
            IndexError: There is no such window.
            WorkloadError: The file holds tokens that its tokenizer does not have.
        """
        size = self.tokens_per_sample
        ids = np.empty((len(indices), size), np.int64)
        for row, index in enumerate(indices):
            if not 0 <= index < len(self):
                raise IndexError(f"window {index} of {len(self)}")
            begin = self.start + self.shift + index * size
            ids[row] = self.file.tokens[begin : begin + size]
        if ids.size and ids.max() >= self.file.vocabulary_size:
            raise WorkloadError(
                f"The file of tokens {quoted(str(self.file.path))} is damaged: it holds token "
                f"{ids.max():,}, and its tokenizer has {self.file.vocabulary_size:,}. Write it "
                "again with `memorymark tokenize`."
            )
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), "labels": ids.copy()}


def whole_text(file: TokenFile, seq_len: int) -> TextSamples:
    """Return the windows of a whole file of tokens.

    Raises:
        InvalidValue: The length is no count.
        WorkloadError: The text is shorter than one window.
    """
    check_count("sequence length", seq_len, _LONGEST)
    _check_length(file, file.count, seq_len, "text")
    return TextSamples(file, seq_len, 0, file.count)


def split(
    file: TokenFile, seq_len: int, evaluation_share: float = 0.1
) -> tuple[TextSamples, TextSamples]:
    """Return the windows to train on and those to evaluate on: the end of the text.

    No token is in both.

    Args:
        file: The file of tokens.
        seq_len: Tokens of a window.
        evaluation_share: Share of the tokens that are kept for evaluation, above 0 and below 1.

    Raises:
        InvalidValue: The length or the share is not accepted.
        WorkloadError: A part is shorter than one window.
    """
    check_count("sequence length", seq_len, _LONGEST)
    if isinstance(evaluation_share, bool) or not isinstance(evaluation_share, int | float):
        raise _no_share(evaluation_share)
    if not 0 < evaluation_share < 1:
        raise _no_share(evaluation_share)
    border = int(file.count * (1 - evaluation_share))
    _check_length(file, border, seq_len, "part to train on")
    _check_length(file, file.count - border, seq_len, "part to evaluate on")
    return (
        TextSamples(file, seq_len, 0, border),
        TextSamples(file, seq_len, border, file.count),
    )


def _no_share(given: object) -> InvalidValue:
    return InvalidValue("evaluation share", given, "a share above 0 and below 1, such as 0.1")


def _check_length(file: TokenFile, tokens: int, seq_len: int, what: str) -> None:
    if tokens < seq_len:
        raise WorkloadError(
            f"The {what} has {tokens:,} tokens, fewer than one sample of {seq_len:,}, in "
            f"{quoted(str(file.path))}. Give a longer text, or a shorter --seq-len."
        )
