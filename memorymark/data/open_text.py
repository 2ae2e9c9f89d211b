"""Text as a file of tokens, whether it is one already or still a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from memorymark.data.text_blocks import check_text_files
from memorymark.data.token_file import TokenFile, is_token_file, open_token_file
from memorymark.data.tokenizer_files import tokenizer_of
from memorymark.data.tokenizing import Check, OnProgress, tokenize_files
from memorymark.data.tokens import Tokens
from memorymark.errors import NotAvailable, WorkloadError, quoted
from memorymark.records.tokenized import BYTES

_BLOCK_BYTES = 1024**2


def open_text(
    path: str | Path,
    tokenizer: str | Tokens | None,
    cache_folder: Path,
    *,
    on_progress: OnProgress = lambda done, of: None,
    check: Check = lambda: None,
) -> TokenFile:
    """Return a text's tokens.

    A file of tokens is opened. A text file, or the files *.txt of a folder and those in it, in the
    order of their names, are tokenized once: the same text and tokenizer are found again.

    Args:
        path: A file of tokens, a text file, or a folder.
        tokenizer: The tokenizer or its name; None takes that of a file of tokens, and bytes for a
            text.
        cache_folder: Where tokens of texts are kept.
        on_progress: Called with the bytes of text that were tokenized, and those that there are.
        check: Called between blocks; what it raises ends the work.

    Raises:
        ModelNotFound: There is no such tokenizer.
        WorkloadError: The text or its tokens cannot be read, or are of another tokenizer.
        NotAvailable: The tokens cannot be kept.
    """
    path = Path(path).expanduser()
    if path.is_file() and (path.suffix == ".bin" or is_token_file(path)):
        return _of_tokenizer(open_token_file(path), tokenizer)
    files = _files_of(path)
    tokens = tokenizer_of(tokenizer or BYTES) if isinstance(tokenizer, str | None) else tokenizer
    kept = cache_folder / f"{_fingerprint(files, check)}-{tokens.fingerprint[:16]}.bin"
    if not _is_whole(kept):
        _make(cache_folder)
        tokenize_files(files, tokens, kept, on_progress=on_progress, check=check)
    return replace(open_token_file(kept), tokenizer=tokens.name)  # it may have moved since


def _is_whole(kept: Path) -> bool:
    """Return whether tokens that were kept are there, and not damaged since."""
    try:
        return open_token_file(kept).count > 0
    except WorkloadError:
        return False


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotAvailable(
            f"The folder {quoted(str(folder))} for tokens cannot be made: "
            f"{error.strerror or error}. Name another one in MEMORYMARK_HOME."
        ) from error


def _of_tokenizer(file: TokenFile, tokenizer: str | Tokens | None) -> TokenFile:
    """Return a file of tokens where it is of a tokenizer."""
    if tokenizer is None:
        return file
    tokens = tokenizer_of(tokenizer) if isinstance(tokenizer, str) else tokenizer
    if tokens.fingerprint != file.tokenizer_fingerprint:
        raise WorkloadError(
            f"The tokens in {quoted(str(file.path))} are of another tokenizer: they were written "
            f"with {quoted(file.tokenizer)}, and {quoted(tokens.name)} is asked for. Leave "
            "--tokenizer out, or write them again with `memorymark tokenize`."
        )
    return file


def _files_of(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return check_text_files([path])
    files = sorted(each for each in path.rglob("*.txt") if each.is_file())
    if not files:
        raise WorkloadError(
            f"The folder {quoted(str(path))} has no files *.txt. Give a text file, a folder of "
            "such, or a file that `memorymark tokenize` wrote."
        )
    return check_text_files(files)


def _fingerprint(files: Sequence[Path], check: Check) -> str:
    """Return a hash of what files hold, and of where one ends and the next begins."""
    whole = blake2b(digest_size=16)
    for path in files:
        whole.update(path.stat().st_size.to_bytes(8, "little"))
        try:
            with open(path, "rb") as file:
                while data := file.read(_BLOCK_BYTES):
                    check()
                    whole.update(data)
        except OSError as error:
            raise WorkloadError(
                f"The file {quoted(str(path))} cannot be read: {error.strerror or error}."
            ) from error
    return whole.hexdigest()
