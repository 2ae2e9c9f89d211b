"""What pages know of a model before it is loaded: what it reads, whether it writes, how long."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.config import Task
from memorymark.records.serving_config import GENERATING
from memorymark.service.trained_folders import is_trained_here
from memorymark.ui.engine import app_service
from memorymark.workloads.byte_models import BYTE_MODELS
from memorymark.workloads.config_file import read_config_file
from memorymark.workloads.known_models import find_known_model, lengths_of, task_of
from memorymark.workloads.naming import HUGGING_FACE, VISION_LIBRARIES, is_folder
from memorymark.workloads.sample_lengths import lengths_of_sample
from memorymark.workloads.told_by_config import positions_told, task_told

FIRST_WRITER = "hf:openai-community/gpt2"
_ANOTHER = "hf:Qwen/Qwen2.5-0.5B"
_BERT = "google-bert/bert-base-uncased"  # what the built-in name stands for
_NOTHING: Mapping[str, Any] = {}


def lengths_here(model: str, task: Task | None = None) -> tuple[str, ...] | None:
    """Return which lengths a sample of a model has, as `lengths_of`; of the owner's folders too."""
    known = lengths_of(model, task)
    if known is not None:
        return known
    told = task or task_told(_folder_config(model))
    return None if told is None else lengths_of_sample(told)


def task_here(model: str) -> Task | None:
    """Return what a model is used for, as `task_of`; of the owner's folders too."""
    return task_of(model) or task_told(_folder_config(model))


def positions_here(model: str) -> int | None:
    """Return how many tokens a model reads and writes at most; None where that is not known."""
    over_bytes = BYTE_MODELS.get(model.strip())
    if over_bytes is not None:
        return positions_told(over_bytes.config)
    known = find_known_model(_BERT if model.strip() == "bert" else model)
    return positions_told(_folder_config(model) if known is None else known.config)


def why_no_text(model: str, task: Task | None, *, answers: bool) -> str | None:
    """Return why a model is no choice for a page on which models write; None where it may be one.

    Args:
        model: The model.
        task: What it is asked to do, where somebody said so.
        answers: Whether the page takes what names classes of images, too.
    """
    if model.partition(":")[0] in VISION_LIBRARIES:
        return _refusal(model)
    known = find_known_model(model)
    own = task or (known.task if known else task_here(model))
    accepted = (*GENERATING, *([Task.IMAGE_CLASSIFICATION] if answers else []))
    return None if own is None or own in accepted else _refusal(model)


def _refusal(model: str) -> str:
    examples = f"{FIRST_WRITER} or {_ANOTHER}"
    return f"{model} writes no text. Choose a model that does, such as {examples}."


def _folder_config(model: str) -> Mapping[str, Any]:
    """Return the config.json of a folder that the owner allows; nothing of any other."""
    settings = app_service().settings
    if not (model in settings.workloads or is_trained_here(model, settings)):
        return _NOTHING
    if not is_folder(model):
        return _NOTHING
    folder = Path(os.path.expanduser(model.removeprefix(f"{HUGGING_FACE}:")))
    file = folder if folder.name == "config.json" else folder / "config.json"
    try:
        return _read(str(file), file.stat().st_mtime_ns)
    except (OSError, MemoryMarkError):
        return _NOTHING  # the run says what is wrong


@st.cache_data(show_spinner=False, max_entries=32)
def _read(file: str, changed: int) -> Mapping[str, Any]:
    """Read a file, once for each time that it was changed."""
    values = read_config_file(Path(file))
    return values if isinstance(values, dict) else {}
