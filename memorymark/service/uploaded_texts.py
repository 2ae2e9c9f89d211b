"""Texts that visitors of the app upload: kept by what they hold, so that a training can go on."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from memorymark.data.token_file import is_token_file, open_token_file
from memorymark.errors import NotAllowed, UsageError, WorkloadError, quoted
from memorymark.records.tokenized import BYTES
from memorymark.records.upload_names import own_name, told_name, upload_hash
from memorymark.settings import Settings
from memorymark.units import MIB, mib_or_gib

LARGEST_TEXT_BYTES = 8 * MIB
TEXT_ENDINGS = (".txt", ".md", ".bin")


def uploaded_path(name: str, settings: Settings) -> Path | None:
    """Return where the text of an upload is kept, or would be; None for any other name.

    Of the name only the hash and a known ending go into the path.
    """
    letters = upload_hash(name)
    if letters is None:
        return None
    ending = Path(own_name(name)).suffix.lower()
    ending = ending if ending in TEXT_ENDINGS else TEXT_ENDINGS[0]
    return settings.texts_folder / f"upload-{letters}{ending}"


def check_upload(name: str, data: bytes) -> None:
    """Let an upload pass that is what its name says, and of an accepted kind and size.

    Raises:
        UsageError: It is not.
    """
    file = own_name(name)
    if Path(file).suffix.lower() not in TEXT_ENDINGS:
        accepted = ", ".join(TEXT_ENDINGS)
        raise UsageError(f"{quoted(file)} is no text that is taken here. Accepted: {accepted}.")
    if len(data) > LARGEST_TEXT_BYTES:
        raise UsageError(
            f"The text has {mib_or_gib(len(data))}; accepted are at most "
            f"{mib_or_gib(LARGEST_TEXT_BYTES)}. Upload a part of it, or use the command line."
        )
    if told_name(file, data) != name:
        raise UsageError(f"{quoted(name)} is not the name of what was uploaded. Upload it again.")


def keep_upload(name: str, data: bytes, settings: Settings) -> Path:
    """Write an upload where it is found again, and return the path.

    Raises:
        WorkloadError: It cannot be written, or another text has the same short hash.
    """
    path = uploaded_path(name, settings)
    assert path is not None
    try:
        if path.exists():
            if hashlib.sha256(path.read_bytes()).digest() != hashlib.sha256(data).digest():
                raise WorkloadError(
                    f"Another text is kept as {quoted(path.name)}. Change this one a little."
                )
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        os.replace(file.name, path)
    except OSError as error:
        raise WorkloadError(f"The text cannot be kept: {error.strerror or error}.") from error
    return path


def check_tokens(path: Path, settings: Settings) -> None:
    """Let an uploaded file of tokens pass: its header names no folder, and its tokens are as said.

    Raises:
        NotAllowed: It names a tokenizer that the app does not open.
        WorkloadError: It cannot be read, or holds tokens that its vocabulary has not.
    """
    if not is_token_file(path):
        return
    tokens = open_token_file(path)
    if not is_allowed_tokenizer(tokens.tokenizer, settings):
        raise NotAllowed(
            f"The tokens are of {quoted(tokens.tokenizer)}, and the app opens no tokenizer but "
            "bytes and those of model folders that the owner of this machine allows. Upload the "
            "text itself."
        )
    if tokens.count and int(tokens.tokens.max()) >= tokens.vocabulary_size:
        raise WorkloadError(
            f"The tokens file holds numbers beyond its vocabulary of {tokens.vocabulary_size:,}. "
            "Write it again with `memorymark tokenize`."
        )


def is_allowed_tokenizer(name: str, settings: Settings) -> bool:
    """Say whether the app may use a tokenizer: bytes, or of a model folder that is allowed."""
    return name == BYTES or f"hf:{name}" in settings.workloads
