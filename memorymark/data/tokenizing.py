"""Turns text files into a file of tokens, piece by piece: memory does not grow with the text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from memorymark.data.text_blocks import check_text_files, text_blocks
from memorymark.data.token_file import TokenWriter, new_token_file
from memorymark.data.tokens import Piece, Tokens
from memorymark.errors import UsageError, WorkloadError, quoted
from memorymark.records.option import check_count
from memorymark.records.tokenized import MOST_TOKENS, Tokenized

OnProgress = Callable[[int, int], None]
Check = Callable[[], None]


def tokenize_files(
    files: Sequence[str | Path],
    tokenizer: Tokens,
    output: str | Path,
    *,
    max_tokens: int | None = None,
    on_progress: OnProgress = lambda done, of: None,
    check: Check = lambda: None,
) -> Tokenized:
    """Write the tokens of text files, one file after the other, into one file.

    No token goes from one file into the next, and none stands between them. Only a few blocks of
    text are held at a time.

    Args:
        files: Text files in UTF-8.
        tokenizer: The tokenizer.
        output: The file to write. It is there when all tokens are written, and not before.
        max_tokens: Tokens to write at most; what is left out is said.
        on_progress: Called with the bytes of text that were read, and those that there are.
        check: Called between blocks; what it raises ends the work, and nothing is left.

    Raises:
        UsageError: The output is one of the files, or in no folder; max_tokens is no count.
        WorkloadError: A file cannot be read, is empty, is no text, or has no tokens.
        NotAvailable: The output cannot be written.
    """
    paths, output = check_text_files(files), Path(output).expanduser()
    check_output(output, paths)
    if max_tokens is not None:
        check_count("max tokens", max_tokens, MOST_TOKENS)
    total, began = sum(path.stat().st_size for path in paths), time.perf_counter()
    source = _Source(paths, total, on_progress, check)
    with new_token_file(output, tokenizer) as writer:
        is_whole = _write(writer, tokenizer, source, max_tokens)
        if writer.count == 0:
            raise WorkloadError(
                f"The tokenizer {quoted(tokenizer.name)} leaves no token of the text. Give a text "
                "with words, or another tokenizer."
            )
    return Tokenized(
        files=tuple(map(str, paths)),
        tokenizer=tokenizer.name,
        vocabulary_size=tokenizer.vocabulary_size,
        tokens=writer.count,
        source_bytes=writer.source_bytes,
        seconds=time.perf_counter() - began,
        output=str(output),
        truncated=None if is_whole else _left_out(writer, total, len(paths)),
        findings=tuple(_findings(paths, source)),
    )


def check_output(output: Path, files: Sequence[Path] = ()) -> None:
    """Check that a file can be written there, before the work begins.

    Raises:
        UsageError: It is a folder, is in none, or is one of the files that are read.
    """
    if output.is_dir() or not output.parent.is_dir():
        what = "is a folder" if output.is_dir() else "is in no folder that exists"
        raise UsageError(f"The output {quoted(str(output))} {what}. Name a file.")
    if output.exists() and any(output.samefile(path) for path in files):
        raise UsageError(
            f"The output {quoted(str(output))} is one of the files that are read. Name another."
        )


@dataclass
class _Source:
    """The texts, and how far they were read."""

    paths: Sequence[Path]
    total_bytes: int
    on_progress: OnProgress
    check: Check
    forced: int = 0
    _before: int = 0

    def pieces(self, tokenizer: Tokens) -> Iterator[Piece]:
        """Return the tokens of all files."""
        for path in self.paths:
            for piece in tokenizer.stream(self._blocks(path)):
                self.forced += piece.was_forced
                yield piece
            self._before += path.stat().st_size

    def _blocks(self, path: Path) -> Iterator[str]:
        for text, done in text_blocks(path):
            self.check()
            yield text
            self.on_progress(self._before + done, self.total_bytes)


def _write(writer: TokenWriter, tokenizer: Tokens, source: _Source, max_tokens: int | None) -> bool:
    """Write tokens up to so many; return whether these are all of the text."""
    for piece in source.pieces(tokenizer):
        room = len(piece.ids) if max_tokens is None else max_tokens - writer.count
        if len(piece.ids) > room:
            writer.append(piece.ids[:room], piece.first_bytes(room))
            return False
        writer.append(piece.ids, piece.source_bytes)
    return True


def _left_out(writer: TokenWriter, total: int, files: int) -> str:
    where = "the file" if files == 1 else f"the {files:,} files"
    return (
        f"Ended at {writer.count:,} tokens, as --max-tokens says: the last "
        f"{total - writer.source_bytes:,} of {total:,} bytes of {where} are left out."
    )


def _findings(paths: Sequence[Path], source: _Source) -> Iterator[str]:
    if len(paths) > 1:
        yield (
            f"The {len(paths):,} files follow one another without a token between them, and no "
            "token goes from one into the next."
        )
    if source.forced:
        yield (
            f"At {source.forced:,} places a text was cut where the tokenizer may join across: it "
            "has no better place in 4 million characters. A few tokens there may differ from those "
            "of the whole text."
        )
