"""Tokenizers by their names: bytes, or a folder with a tokenizer.json. Never code of a folder."""

from __future__ import annotations

import os
from pathlib import Path

from memorymark.data.byte_tokens import VOCABULARY, ByteTokens, byte_backend
from memorymark.data.library_tokens import LibraryTokens
from memorymark.data.token_file import TokenFile
from memorymark.data.tokens import Tokens
from memorymark.errors import ModelNotFound, WorkloadError, quoted
from memorymark.records.tokenized import BYTES

TOKENIZER_FILE = "tokenizer.json"
ACCEPTED = f"`{BYTES}`, or a folder with a {TOKENIZER_FILE}"


def tokenizer_of(name: str) -> Tokens:
    """Return a tokenizer by its name.

    Args:
        name: "bytes", a folder that holds a tokenizer.json, or such a file.

    Raises:
        ModelNotFound: There is no such folder, or it holds none.
        WorkloadError: It cannot be read.
    """
    if name == BYTES:
        return ByteTokens()
    folder = Path(os.path.expanduser(name))
    folder = folder.parent if folder.name == TOKENIZER_FILE else folder
    if not folder.is_dir():
        raise ModelNotFound(
            f"There is no folder {quoted(name)} with a tokenizer. Accepted: {ACCEPTED}."
        )
    if not (folder / TOKENIZER_FILE).is_file():
        raise ModelNotFound(
            f"The folder {quoted(name)} has no {TOKENIZER_FILE}. Accepted: {ACCEPTED}."
        )
    return read_tokenizer(folder, name)


def read_tokenizer(folder: Path, name: str) -> Tokens:
    """Return the tokenizer of a folder's tokenizer.json under a name.

    One whose tokens are the values of bytes is `bytes`, which is faster, and known everywhere.

    Raises:
        WorkloadError: It cannot be read.
    """
    from tokenizers import Tokenizer

    file = folder / TOKENIZER_FILE
    try:
        backend = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises none but Exception itself
        reason = str(error).partition("\n")[0]
        raise WorkloadError(
            f"The tokenizer in {quoted(str(file))} cannot be used: {reason}."
        ) from error
    found = LibraryTokens(backend, name, folder)
    return ByteTokens() if _is_bytes(found) else found


def _is_bytes(tokens: LibraryTokens) -> bool:
    """Return whether a tokenizer is the one that `ByteTokens` saves."""
    if tokens.vocabulary_size != VOCABULARY:
        return False
    return tokens.fingerprint == LibraryTokens(byte_backend(), BYTES).fingerprint


def tokenizer_of_file(file: TokenFile) -> Tokens:
    """Return the tokenizer that a file of tokens was written with.

    It is looked for where it was, beside the file, and in the folder that `tokenize` saves it to.

    Raises:
        WorkloadError: It is not there any more, or is another one now.
    """
    for place in _places(file):
        try:
            found = tokenizer_of(place)
        except WorkloadError:
            continue
        if found.fingerprint == file.tokenizer_fingerprint:
            return found
    raise WorkloadError(
        f"The tokenizer {quoted(file.tokenizer)} of the tokens in {quoted(str(file.path))} is not "
        f"where it was, or is another one now. Put it into {saved_beside(file.path)}, or write the "
        "tokens again with `memorymark tokenize`."
    )


def saved_beside(path: Path) -> Path:
    """Return the folder of the tokenizer that is saved with a file of tokens."""
    return path.with_name(f"{path.stem}-tokenizer")


def _places(file: TokenFile) -> list[str]:
    beside = file.path.parent / file.tokenizer
    return [file.tokenizer, str(beside), str(saved_beside(file.path))]
