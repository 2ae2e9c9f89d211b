"""Trains a tokenizer: byte-level BPE, so that it knows every text and no token is unknown.

Sennrich et al. 2016, arXiv 1508.07909, on bytes as in GPT-2 (Radford et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memorymark.data.byte_tokens import VOCABULARY
from memorymark.data.library_tokens import LibraryTokens
from memorymark.data.text_blocks import BLOCK_BYTES, text_blocks
from memorymark.records.option import check_count
from memorymark.units import MIB

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LARGEST_VOCABULARY = 1_000_000
# The trainer holds every different word with its count: of more text it would take more memory.
MOST_BYTES = 256 * MIB


def train_tokenizer(
    files: Sequence[Path],
    vocabulary_size: int,
    name: str,
    *,
    on_bytes: Callable[[int], None] = lambda done: None,
    check: Callable[[], None] = lambda: None,
    most_bytes: int = MOST_BYTES,
) -> LibraryTokens:
    """Return a byte-level BPE tokenizer for texts, with at most so many tokens.

    It is trained on all of them, or where they are longer than `most_bytes`, on blocks of them at
    even distances.

    Args:
        files: Text files, which are there.
        vocabulary_size: Its tokens at most, the 256 of single bytes among them; fewer where no two
            tokens stand side by side twice.
        name: What it goes by.
        on_bytes: Called with the bytes read.
        check: Called between blocks; what it raises ends the training.
        most_bytes: Most bytes of text that it is trained on.

    Raises:
        InvalidValue: The vocabulary is smaller than there are bytes, or very large.
        WorkloadError: A file cannot be read, or is no text.
    """
    check_count("tokens of the tokenizer", vocabulary_size, LARGEST_VOCABULARY, VOCABULARY)
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend: Tokenizer = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size, min_frequency=2, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator(_texts(files, most_bytes, on_bytes, check), trainer)
    return LibraryTokens(backend, name)


def is_trained_on_part(files: Sequence[Path], most_bytes: int = MOST_BYTES) -> bool:
    """Return whether texts are longer than what a tokenizer is trained on."""
    return sum(path.stat().st_size for path in files) > most_bytes


def _texts(
    files: Sequence[Path],
    most_bytes: int,
    on_bytes: Callable[[int], None],
    check: Callable[[], None],
) -> Iterator[str]:
    """Read texts block by block; of long ones every so many-th. A word may end with a block."""
    every = max(1, -(-sum(path.stat().st_size for path in files) // most_bytes))
    number = before = 0
    for path in files:
        for text, done in text_blocks(path, BLOCK_BYTES):
            check()
            if number % every == 0:
                yield text
            number += 1
            on_bytes(before + done)
        before += path.stat().st_size
