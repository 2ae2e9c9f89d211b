"""Files that are there whole or not at all: written beside their name and renamed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from memorymark.errors import NotAvailable, quoted

# No class of a model's own, and blanks before commas left where they are.
_TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "clean_up_tokenization_spaces": False,
}
_COPIED = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write; it takes its name when all is written, and leaves nothing if not.

    What is killed leaves `NAME.<process>.part`, never half a file under the name.

    Raises:
        NotAvailable: It cannot be written, as where the disk is full.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise NotAvailable(
            f"{quoted(str(path))} cannot be written: {error.strerror or error}. Nothing of it is "
            "left. Make room, or name another file."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def save_tokenizer(folder: Path, document: str, source: Path | None = None) -> None:
    """Write a tokenizer.json, and beside it what makes transformers' AutoTokenizer read it.

    Args:
        folder: Where to; it is made.
        document: What the tokenizer.json holds.
        source: A folder that the tokenizer comes from: what says there how to use it, such as its
            special tokens and the form of a chat, is copied.

    Raises:
        NotAvailable: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotAvailable(
            f"The folder {quoted(str(folder))} cannot be made: {error.strerror or error}. Name "
            "another one."
        ) from error
    files = {"tokenizer_config.json": json.dumps(_TOKENIZER_CONFIG, indent=2).encode()}
    for name in _COPIED:
        if source is not None and (source / name).is_file():
            files[name] = (source / name).read_bytes()
    for name, data in {**files, "tokenizer.json": document.encode()}.items():
        with written_whole(folder / name) as file:
            file.write(data)
