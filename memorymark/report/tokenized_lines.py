"""What became of texts that were turned into tokens, in words."""

from __future__ import annotations

from memorymark import units
from memorymark.records.tokenized import Tokenized


def tokenized_sentence(done: Tokenized) -> str:
    """Say in a sentence what was written."""
    return (
        f"{done.tokens:,} tokens of {done.source_bytes:,} bytes of text are in {done.output}, "
        f"by the tokenizer {done.tokenizer}."
    )


def tokenized_figures(done: Tokenized) -> list[tuple[str, str]]:
    """Return the figures of what was written, by name."""
    figures = [
        ("vocabulary", f"{done.vocabulary_size:,}"),
        ("bytes per token", f"{done.bytes_per_token:.3f}" if done.tokens else units.UNKNOWN),
        ("seconds, measured", units.seconds(done.seconds)),
    ]
    if done.tokenizer_folder is not None:
        figures.append(("tokenizer saved in", done.tokenizer_folder))
    return figures


def tokenized_notes(done: Tokenized) -> list[str]:
    """Return what to know of it, what was left out first."""
    return [*filter(None, (done.truncated,)), *done.findings]
