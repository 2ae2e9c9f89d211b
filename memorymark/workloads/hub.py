"""Hugging Face configurations from a local folder, the cache or the hub. Never code."""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import re
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from memorymark.errors import InvalidValue, ModelNotFound, WorkloadError, quoted
from memorymark.workloads.config_file import read_config_file
from memorymark.workloads.known_models import KnownModel, find_known_model, nearest_known
from memorymark.workloads.own_architectures import know_architecture
from memorymark.workloads.shipped import note_own_head, shipped_config

_local: ContextVar[bool] = ContextVar("whether only local files are read", default=False)
_DEFAULT_ENDPOINT = "https://huggingface.co"
_ANSWER_TIMEOUT_S = 5.0
# For all of a configuration: the hub's client tries again for minutes where nobody answers.
_LOAD_TIMEOUT_S = 20.0
# huggingface_hub, utils/_validators.py: at most 96 characters, one slash.
_HUB_ID = re.compile(r"(?=.{1,96}$)[\w.-]+(/[\w.-]+)?", re.ASCII)


def load_hf_config(ref: str) -> Any:
    """Return the configuration of a local folder with config.json, or of a hub id.

    Of a model whose configuration is shipped, it is that one, whatever the cache holds: so it is
    the same on every machine, with a network or without. A folder is the way to differ.

    Raises:
        ModelNotFound: There is no such folder, id or network.
        WorkloadError: The configuration cannot be read, or needs code of its own.
    """
    if is_folder_name(ref):
        return _from_folder(Path(os.path.expanduser(ref)))
    known = shipped_model(ref)
    return _from_hub(ref) if known is None else shipped_config(known)


def shipped_model(ref: str) -> KnownModel | None:
    """Return the shipped model that a reference means; None for folders and other ids."""
    return None if is_folder_name(ref) else find_known_model(ref)


def check_endpoint() -> str:
    """Return the address of the hub.

    Raises:
        InvalidValue: HF_ENDPOINT is no address: libraries would fail to load.
    """
    given = os.environ.get("HF_ENDPOINT") or _DEFAULT_ENDPOINT
    try:
        url = urlsplit(given)
        is_address = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise InvalidValue("HF_ENDPOINT", given, f"an address such as {_DEFAULT_ENDPOINT}")
    return given.rstrip("/")


def is_folder_name(ref: str) -> bool:
    """Return whether a reference means a local folder, and no repository of the hub."""
    return ref.startswith((".", "/", "~")) or os.path.isdir(ref) or ref.count("/") > 1


def _from_folder(folder: Path) -> Any:
    file = folder / "config.json"
    if folder.name == "config.json" and os.path.isfile(folder):
        folder, file = folder.parent, folder
    if not os.path.isdir(folder):
        raise ModelNotFound(
            f"There is no folder {quoted(str(folder))}. Give a folder that holds a config.json, "
            "or a hub id such as hf:google-bert/bert-base-uncased."
        )
    if not os.path.isfile(file):
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
    if not _HUB_ID.fullmatch(ref):
        raise ModelNotFound(
            f"There is no folder {quoted(ref)}, and it is no hub id, which has letters, digits and "
            "._- with one slash, such as google-bert/bert-base-uncased."
        )
    try:
        return _load(ref, local=True)
    except ModelNotFound:
        if not hub_answers(ref):
            raise _unreachable(ref) from None
    return _load_in_time(ref)


def _load_in_time(ref: str) -> Any:
    """Load from the hub, and give up on a hub that stops answering."""
    ended: list[Any] = []

    def load() -> None:
        try:
            ended.append(_load(ref, local=False))
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(_LOAD_TIMEOUT_S)
    if not ended:
        raise _unreachable(ref)
    if isinstance(ended[0], Exception):
        raise ended[0]
    return ended[0]


def _load(ref: str, *, local: bool) -> Any:
    from transformers import AutoConfig
    from transformers.utils import cached_file

    try:
        file = cached_file(ref, "config.json", local_files_only=local)
        values = {} if file is None else read_config_file(Path(file))
        know_architecture(values.get("model_type") if isinstance(values, dict) else None)
        with only_local_files() if local else contextlib.nullcontext():
            found = AutoConfig.from_pretrained(ref, local_files_only=local, trust_remote_code=False)
        return note_own_head(found, values)
    except OSError as error:
        if os.path.isdir(ref):
            raise WorkloadError(
                f"The configuration of {quoted(ref)} names another model, as its backbone, that is "
                "not in the local cache. Write that one's configuration into the file, as "
                "backbone_config."
            ) from error
        if "gated" in str(error):
            raise ModelNotFound(
                f"The model {quoted(ref)} is gated: on its page of the hub, ask for access, and "
                f"sign in on this machine with `hf auth login`. {_instead(ref)}"
            ) from error
        raise ModelNotFound(
            f"No configuration was found for {quoted(ref)} on the hub: check the spelling of its "
            f"id; a private model needs `hf auth login` on this machine. {_instead(ref)}"
        ) from error
    except WorkloadError:
        raise
    except Exception as error:
        raise WorkloadError(
            f"The configuration of {quoted(ref)} cannot be used: {_reason(error)}"
        ) from error


@contextlib.contextmanager
def only_local_files() -> Iterator[None]:
    """Look for configurations that another one names on this machine only, on this thread.

    transformers would ask the hub for them, whoever wrote the file that names them.
    """
    _look_where_told()
    outer = _local.set(True)
    try:
        yield
    finally:
        _local.reset(outer)


def _look_where_told() -> None:
    """Put what heeds `only_local_files` in the place of what asks the hub, once."""
    from transformers import configuration_utils

    find = configuration_utils.cached_file
    if getattr(find, "looks_where_told", False):
        return

    @functools.wraps(find)
    def found(*args: Any, **kwargs: Any) -> Any:
        return find(*args, **{**kwargs, "local_files_only": True} if _local.get() else kwargs)

    found.looks_where_told = True  # type: ignore[attr-defined]
    configuration_utils.cached_file = found
    with contextlib.suppress(ImportError, AttributeError):  # older ones ask in no other way
        from transformers import backbone_utils

        ask = backbone_utils.hf_api
        backbone_utils.hf_api = lambda: _refuse_to_ask() if _local.get() else ask()


def _refuse_to_ask() -> NoReturn:
    raise OSError("only local files are read")


def _reason(error: Exception) -> str:
    """Return an error's first sentence, which may go on in a second line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def hub_answers(ref: str) -> bool:
    """Ask once, through the proxies that are set, and take any answer for one."""
    if _is_offline():
        return False
    proxies = urllib.request.getproxies()
    if "all" in proxies or any(value.startswith("socks") for value in proxies.values()):
        return True  # the hub's client knows such proxies, and this library does not
    url = f"{check_endpoint()}/{ref}/resolve/main/config.json"
    try:
        urllib.request.urlopen(url, timeout=_ANSWER_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLCertVerificationError)  # the client has its own
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return True


def _unreachable(ref: str) -> ModelNotFound:
    off = " (HF_HUB_OFFLINE is set)" if _is_offline() else ""
    return ModelNotFound(
        f"The Hugging Face hub cannot be reached{off} and {quoted(ref)} is not in the local cache. "
        f"{_instead(ref)}"
    )


def _instead(ref: str) -> str:
    """Say what can be done without the hub, on the command line and in the app."""
    nearest = nearest_known(ref)
    return (
        (f"Did you mean hf:{nearest}? " if nearest else "")
        + "Without the hub, take a model that comes with MemoryMark (`memorymark models` and the "
        "model field list them) or torchvision:NAME, or put its config.json into a folder and give "
        "hf:FOLDER on the command line. In the app, the owner of the machine can allow that folder "
        "with MEMORYMARK_WORKLOADS=hf:FOLDER."
    )
