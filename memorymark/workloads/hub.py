"""Hugging Face configurations from a local folder, the cache or the hub. Never code."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from memorymark.errors import ModelNotFound, WorkloadError, quoted
from memorymark.workloads.config_file import read_config_file

_CONNECT_TIMEOUT_S = 3.0
_DEFAULT_ENDPOINT = "https://huggingface.co"


def load_hf_config(ref: str) -> Any:
    """Return the configuration of a hub id or a local folder with config.json.

    Raises:
        ModelNotFound: There is no such folder, id or network.
        WorkloadError: The configuration cannot be read, or needs code of its own.
    """
    if _looks_local(ref):
        return _from_folder(Path(ref).expanduser())
    return _from_hub(ref)


def _looks_local(ref: str) -> bool:
    return ref.startswith((".", "/", "~")) or Path(ref).is_dir() or ref.count("/") > 1


def _from_folder(folder: Path) -> Any:
    file = folder / "config.json"
    if folder.name == "config.json" and folder.is_file():
        folder, file = folder.parent, folder
    if not folder.is_dir():
        raise ModelNotFound(
            f"There is no folder {quoted(str(folder))}. Give a folder that holds a config.json, "
            "or a hub id such as hf:google-bert/bert-base-uncased."
        )
    if not file.is_file():
        raise ModelNotFound(
            f"The folder {quoted(str(folder))} has no config.json. Give the folder of a Hugging "
            "Face model; only its config.json is read."
        )
    _check_names_a_model(file)
    return _load(str(folder), local=True)


def _check_names_a_model(file: Path) -> None:
    values = read_config_file(file)
    if not isinstance(values, dict) or not isinstance(values.get("model_type"), str):
        raise WorkloadError(
            f"The file {quoted(str(file))} does not name a model_type, so it is not the "
            "config.json of a Hugging Face model."
        )


def _from_hub(ref: str) -> Any:
    try:
        return _load(ref, local=True)
    except ModelNotFound:
        _check_network(ref)
    return _load(ref, local=False)


def _load(ref: str, *, local: bool) -> Any:
    from transformers import AutoConfig
    from transformers.utils import cached_file

    try:
        file = cached_file(ref, "config.json", local_files_only=local)
        if file is not None:
            read_config_file(Path(file))
        return AutoConfig.from_pretrained(ref, local_files_only=local, trust_remote_code=False)
    except OSError as error:
        raise ModelNotFound(
            f"No configuration was found for {quoted(ref)}: check the spelling of the hub id, or "
            "give a local folder with config.json as hf:FOLDER."
        ) from error
    except WorkloadError:
        raise
    except Exception as error:
        raise WorkloadError(
            f"The configuration of {quoted(ref)} cannot be used: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """Return an error's first sentence, which may go on in a second line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


def _check_network(ref: str) -> None:
    """Ask for a connection once: the hub's client would retry for minutes without one."""
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
    url = urlparse(os.environ.get("HF_ENDPOINT") or _DEFAULT_ENDPOINT)
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        if offline:
            raise OSError("offline mode")
        socket.create_connection((url.hostname or "", port), _CONNECT_TIMEOUT_S).close()
    except OSError:
        raise ModelNotFound(
            f"The Hugging Face hub cannot be reached and {quoted(ref)} is not in the local cache. "
            "Download its config.json elsewhere, put it into a folder and use hf:FOLDER."
        ) from None
