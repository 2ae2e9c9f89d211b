"""What the app takes of a visitor: which models, which devices, and how many jobs at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from memorymark.errors import InvalidValue, NotAllowed, UnknownChoice, UsageError
from memorymark.probes.choose import parse_device
from memorymark.records.config import TrainingConfig
from memorymark.records.option import options_of
from memorymark.records.request import Request
from memorymark.service.job import Job
from memorymark.service.trained_folders import is_trained_here
from memorymark.settings import Settings
from memorymark.workloads.known_models import BUILTIN_TASKS, find_known_model
from memorymark.workloads.naming import form_of

MAX_ACTIVE_JOBS = 20
MAX_JOBS_OF_A_VISITOR = 5
_MOST_DEVICES = 64
_BUILT_IN = "|".join(map(re.escape, BUILTIN_TASKS))
_BUILT_IN_OR_LIBRARY = re.compile(rf"({_BUILT_IN}|(torchvision|timm):[\w.\-]+)")
_LONGEST_MODEL = 200
_INSTEAD_OF_FOLDERS = (
    "Choose a model of the list, or give torchvision:NAME or an id such as "
    "hf:google-bert/bert-base-uncased; or use the command line. The owner can allow a folder with "
    "MEMORYMARK_WORKLOADS=hf:FOLDER."
)
# What is estimated for everybody: lengths of usual trainings, of models that are looked up nowhere.
_LONGEST_FOR_ALL = {
    "seq_len": 8192,
    "image_size": 1024,
    "audio_seconds": 60,
    "num_frames": 64,
    "gradient_accumulation": 256,
    "num_labels": 100_000,
}
_HUB_ID = re.compile(r"(hf:)?([A-Za-z0-9][\w.\-]*/)?[A-Za-z0-9][\w.\-]*")


def admit(visitor: str | None, active: Sequence[Job]) -> None:
    """Let a visitor start another job beside those that are active.

    Args:
        visitor: Name of the visitor, where it is known.
        active: The jobs that wait or work.

    Raises:
        NotAllowed: All places are taken, or the visitor's share of them.
    """
    if len(active) >= MAX_ACTIVE_JOBS:
        raise NotAllowed(
            f"{MAX_ACTIVE_JOBS} jobs are already active. Wait until one ends, or cancel one."
        )
    if sum(job.visitor == visitor for job in active) >= MAX_JOBS_OF_A_VISITOR:
        raise NotAllowed(
            f"{MAX_JOBS_OF_A_VISITOR} of your jobs are already active, which is one visitor's "
            f"share of the {MAX_ACTIVE_JOBS} places. Wait until one ends, or cancel one."
        )


NO_LIVE_PRICES = (
    "Live prices are off: the owner of this machine can let the app ask the providers with "
    "MEMORYMARK_LIVE_PRICES=1. Prices of the list, and your own, are there without it."
)


def check_device(device: str | None) -> None:
    """Let a device pass that a machine may have: each has a queue of its own.

    Raises:
        UsageError: It is no device's name, or its number is out of all range.
    """
    if device is None:
        return
    kind, number = parse_device(device)
    if number >= _MOST_DEVICES or device not in (kind, f"{kind}:{number}"):
        accepted = f"cuda:1, mps or cpu, with numbers below {_MOST_DEVICES}"
        raise InvalidValue("device", device, accepted)


def why_not_for_all(request: Request) -> str | None:
    """Say why an estimate is only for those who may start work; None where it is for everybody.

    The memory bar asks for one as soon as a model is named. It is little work of a model of the
    list; any other name can make this machine ask the hub, and any length can make it work long.
    """
    if request.model not in BUILTIN_TASKS and find_known_model(request.model) is None:
        return "Without the right to start runs, only the models of the list are estimated."
    for name, largest in _LONGEST_FOR_ALL.items():
        if (getattr(request.config, name) or 0) > largest:
            what = options_of(TrainingConfig)[name].label.lower()
            return f"Without the right to start runs, the {what} is at most {largest:,}."
    return None


def check_prices(request: Request, settings: Settings) -> None:
    """Let a request pass that asks nobody for prices, unless the owner's settings allow it.

    Raises:
        NotAllowed: They do not.
    """
    if request.live_prices and not settings.live_prices:
        raise NotAllowed(NO_LIVE_PRICES)


def check_model(model: str, settings: Settings) -> None:
    """Let a model pass that may run from the app: no folder and no code of a visitor's.

    Raises:
        NotAllowed: It is a folder, or a workload that the owner's settings do not name.
        UsageError: It is no model's name.
    """
    if len(model) > _LONGEST_MODEL:
        raise UsageError(
            f"The model's name has {len(model):,} characters; accepted are at most "
            f"{_LONGEST_MODEL}."
        )
    if model in settings.workloads or _BUILT_IN_OR_LIBRARY.fullmatch(model):
        return
    if is_trained_here(model, settings):
        return
    if _HUB_ID.fullmatch(model):
        _check_no_folder(model)
        _check_form(model)
        return
    prefix, _, rest = model.partition(":")
    if prefix == "hf" or "/" in model:
        raise NotAllowed(
            f"{model!r} is not a Hugging Face model id, and the app opens no folder that the owner "
            f"of this machine has not allowed. {_INSTEAD_OF_FOLDERS}"
        )
    if rest:
        raise NotAllowed(
            f"{model!r} would run custom code. The owner of this machine can allow it with "
            f"MEMORYMARK_WORKLOADS={model}; or use the command line."
        )
    _check_form(model)


def _check_form(model: str) -> None:
    """Let a name of one of the forms pass; say at once which model a mistyped one may mean."""
    try:
        form_of(model)
    except UnknownChoice as error:
        meant = f"Did you mean {error.nearest}? " if error.nearest else ""
        raise UsageError(
            f"{model!r} is not a model's name. {meant}Choose a model of the list, or give hf:ID, "
            "torchvision:NAME or timm:NAME."
        ) from None


def _check_no_folder(model: str) -> None:
    if Path(model.removeprefix("hf:")).exists():
        raise NotAllowed(
            f"{model!r} is also a folder on this machine, and the app opens no folder that its "
            f"owner has not allowed. {_INSTEAD_OF_FOLDERS}"
        )
