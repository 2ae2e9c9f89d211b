"""What stands for a tokenizer in a call: bytes, a folder, or on the command line a hub id."""

from __future__ import annotations

import os
from pathlib import Path

from memorymark.data.library_tokens import LibraryTokens
from memorymark.data.tokenizer_files import ACCEPTED, TOKENIZER_FILE, read_tokenizer, tokenizer_of
from memorymark.data.tokens import Tokens
from memorymark.errors import ModelNotFound, WorkloadError, quoted
from memorymark.records.tokenized import BYTES

_FETCHED = (TOKENIZER_FILE, "tokenizer_config.json", "special_tokens_map.json", "*.jinja",
            "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "spiece.model",
            "tekken.json", "sentencepiece.bpe.model", "source.spm")  # fmt: skip


def given_tokenizer(name: str, *, from_hub: bool = False) -> Tokens:
    """Return the tokenizer that a name stands for.

    Args:
        name: "bytes", a folder with a tokenizer, or a hub id.
        from_hub: Whether the hub's cache is looked into, and the hub asked.

    Raises:
        ModelNotFound: There is none of that name, or it cannot be fetched.
        WorkloadError: It cannot be read.
    """
    from memorymark.workloads.hub import is_folder_name

    if name == BYTES or is_folder_name(name):
        folder = Path(os.path.expanduser(name))
        is_older = folder.is_dir() and not (folder / TOKENIZER_FILE).is_file()
        return _older(folder, name) if is_older else tokenizer_of(name)
    if not from_hub:
        raise ModelNotFound(
            f"There is no folder {quoted(name)} with a tokenizer. Accepted: {ACCEPTED}; on the "
            "command line a hub id, too."
        )
    return _of_the_hub(name)


def _older(folder: Path, name: str) -> Tokens:
    """Return the tokenizer of a folder without a tokenizer.json: transformers turns it into one."""
    from memorymark.workloads.processor_files import Processors

    found = Processors(folder).tokenizer
    if found is None:
        raise ModelNotFound(f"The folder {quoted(name)} has no tokenizer. Accepted: {ACCEPTED}.")
    backend = getattr(found, "backend_tokenizer", None)
    if backend is None:
        raise WorkloadError(
            f"The tokenizer in {quoted(name)} is a {type(found).__name__}, which cannot be read as "
            f"a {TOKENIZER_FILE}. Accepted: {ACCEPTED}."
        )
    return LibraryTokens(backend, name, folder)


def _of_the_hub(name: str) -> Tokens:
    """Return the tokenizer of a repository, from the cache or fetched."""
    from memorymark.workloads.hub import hub_answers, shipped_model

    known = shipped_model(name)
    repository = name if known is None else known.name
    folder = _fetched(repository, local=True)
    if folder is None and hub_answers(repository):
        folder = _fetched(repository, local=False)
    if folder is None:
        raise ModelNotFound(
            f"The tokenizer {quoted(name)} is no folder here, is not in the local cache, and was "
            f"not found on the Hugging Face hub. Without the hub, give {ACCEPTED}."
        )
    if (folder / TOKENIZER_FILE).is_file():
        return read_tokenizer(folder, repository)
    return _older(folder, repository)


def _fetched(repository: str, *, local: bool) -> Path | None:
    """Return the folder of a repository's tokenizer; None where it has none, or is not there."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(repository, allow_patterns=list(_FETCHED), local_files_only=local)
        )
    except Exception:  # the hub's client has many kinds, in modules that moved
        return None
    return folder if any(folder.glob("*token*")) or any(folder.glob("*vocab*")) else None
