"""MemoryMark as a library, where no model is asked for: texts become tokens."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from memorymark.data.text_blocks import check_text_files
from memorymark.data.tokenizer_files import saved_beside, tokenizer_of
from memorymark.data.tokenizing import check_output, tokenize_files
from memorymark.data.tokens import Tokens
from memorymark.data.train_tokenizer import MOST_BYTES, is_trained_on_part
from memorymark.data.train_tokenizer import train_tokenizer as trained_tokenizer
from memorymark.errors import WorkloadError
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent, ignore
from memorymark.records.tokenized import BYTES, Tokenized, TokenizePlan
from memorymark.service.given_tokenizer import given_tokenizer
from memorymark.units import mib_or_gib, percent

__all__ = ["tokenize"]

_SECONDS_BETWEEN_NOTES = 1.0


def tokenize(
    files: str | Path | Sequence[str | Path],
    output: str | Path,
    tokenizer: str | Tokens = BYTES,
    *,
    train_tokenizer: int | None = None,
    max_tokens: int | None = None,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> Tokenized:
    """Turn text files into a file of tokens, which is read through a memory map.

    Memory does not grow with the text. The file is there when all is written, and not before.

    Args:
        files: A text file in UTF-8, or several, one after the other.
        output: The file to write.
        tokenizer: "bytes", whose tokens are the values of bytes, or a folder with a tokenizer.
        train_tokenizer: Train a byte-level BPE with so many tokens from the files, and take it. It
            is saved beside the output.
        max_tokens: Tokens to write at most; the result says what is left out.
        on_event: Called with each event.
        cancel: Checked between blocks of text.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: A file is no text, or the tokens cannot be written.

    Example:
        >>> tokenize("shakespeare.txt", "tokens.bin").tokens  # doctest: +SKIP
        1115394
    """
    name = tokenizer if isinstance(tokenizer, str) else tokenizer.name
    plan = TokenizePlan(name, train_tokenizer, max_tokens)
    paths, output = check_text_files(files), Path(output).expanduser()
    check_output(output, paths)
    check = (cancel or CancelToken()).check
    tokens, findings = _tokens_of(plan, tokenizer, paths, saved_beside(output), on_event, check)
    is_saved = not _is_found_again(tokens)
    total = mib_or_gib(sum(path.stat().st_size for path in paths))
    on_event(Event(EventKind.PHASE, f"Writing the tokens of {total} of text.", "tokenize"))
    done = tokenize_files(
        paths, tokens, output, max_tokens=plan.max_tokens,
        on_progress=_notes("Tokenized", on_event), check=check,
    )  # fmt: skip
    if is_saved:  # only now: until then the tokens that were there before have theirs
        tokens.save(saved_beside(output))
    return dataclasses.replace(
        done,
        tokenizer_folder=str(saved_beside(output)) if is_saved else None,
        findings=(*findings, *done.findings),
    )


def _tokens_of(
    plan: TokenizePlan,
    tokenizer: str | Tokens,
    files: Sequence[Path],
    folder: Path,
    on_event: OnEvent,
    check: Callable[[], None],
) -> tuple[Tokens, tuple[str, ...]]:
    """Return the tokenizer, trained where that is asked for, and what to know of it."""
    size = plan.train_tokenizer
    if size is None:
        given = given_tokenizer(tokenizer) if isinstance(tokenizer, str) else tokenizer
        return given, ()
    total = sum(path.stat().st_size for path in files)
    text = f"Training a tokenizer with {size:,} tokens on {mib_or_gib(total)} of text."
    on_event(Event(EventKind.PHASE, text, "train-tokenizer"))
    note = _notes("Read", on_event)
    tokens = trained_tokenizer(
        files, size, str(folder), on_bytes=lambda done: note(done, total), check=check
    )
    findings = []
    if is_trained_on_part(files):
        findings.append(
            f"The tokenizer was trained on {mib_or_gib(MOST_BYTES)} of the text, in blocks at even "
            "distances: of more it would take more memory."
        )
    if tokens.vocabulary_size < size:
        findings.append(
            f"The tokenizer has {tokens.vocabulary_size:,} tokens, fewer than the {size:,} that "
            "were asked for: no other two of them stand side by side twice."
        )
    return tokens, tuple(findings)


def _is_found_again(tokens: Tokens) -> bool:
    """Return whether a tokenizer's name leads to it; one trained or fetched is saved for that."""
    try:
        return tokenizer_of(tokens.name).fingerprint == tokens.fingerprint
    except WorkloadError:
        return False


def _notes(verb: str, on_event: OnEvent) -> Callable[[int, int], None]:
    """Return what tells how far the work is, once a second."""
    began = said = time.monotonic()

    def note(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < _SECONDS_BETWEEN_NOTES or not total:
            return
        said = now
        rate = mib_or_gib(round(done / (now - began)))
        share = min(1.0, done / total)
        text = f"{verb} {mib_or_gib(done)} of {mib_or_gib(total)} ({percent(share)}), {rate}/s."
        on_event(Event(EventKind.NOTE, text, "tokenize", progress=share))

    return note
