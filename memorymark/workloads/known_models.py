"""Well-known models whose configurations come with the package, without torch.

Each is one file in `configurations/`: the numbers of the model's config.json that memory and
compute depend on, where they stand on the hub, the licence that the model's card names, and the
published number of parameters. No weights and no text of a card are in it.

The numbers were read in public copies of the files and in transformers' own defaults, which name
the models that they are of. What confirms them is the number of parameters, published elsewhere:
tests build each model and compare.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from memorymark.records.config import Task
from memorymark.workloads.byte_models import BYTE_MODELS
from memorymark.workloads.sample_lengths import lengths_in_torchvision, lengths_of_sample

BUILTIN_TASKS = {
    "bert": Task.SEQUENCE_CLASSIFICATION,
    "gpt2": Task.SEQUENCE_CLASSIFICATION,
    "resnet": Task.IMAGE_CLASSIFICATION,
    **dict.fromkeys(BYTE_MODELS, Task.CAUSAL_LM),
}
# Longer names are none that was mistyped.
_LONGEST_NAME = 200
_BUILTIN_LABELS = {
    "bert": "BERT base with a classifier",
    "gpt2": "GPT-2 with a classifier",
    "resnet": "ResNet-50",
    **{name: model.label for name, model in BYTE_MODELS.items()},
}


@dataclass(frozen=True)
class KnownModel:
    """A model whose configuration is shipped.

    Attributes:
        name: Its id on the Hugging Face hub.
        label: Its name for people.
        parameters: How many parameters it has, as published.
        task: What it is trained for, where nothing else is asked for.
        licence: The licence that its model card names, which is the weights'; None: it names none.
        source: Address of its config.json on the hub.
        parameters_source: Where the number of parameters is published.
        seen_on: Day on which numbers and parameters were last compared, as in 2026-11-21.
        config: The numbers of its config.json.
    """

    name: str
    label: str
    parameters: int
    task: Task
    licence: str | None
    source: str
    parameters_source: str
    seen_on: str
    config: Mapping[str, Any]

    @property
    def short_name(self) -> str:
        """The last part of its id, in lower case."""
        return self.name.rpartition("/")[2].lower()


@cache
def known_models() -> tuple[KnownModel, ...]:
    """Return the models whose configurations are shipped, by their labels."""
    folder = resources.files("memorymark.workloads").joinpath("configurations")
    files = (file for file in folder.iterdir() if file.name.endswith(".json"))
    found = [_read(json.loads(file.read_text(encoding="utf-8"))) for file in files]
    return tuple(sorted(found, key=lambda model: _natural(model.label)))


def find_known_model(name: str) -> KnownModel | None:
    """Find a model by its hub id, with or without hf:, or by its short name; in any case.

    Example:
        >>> find_known_model("llama-3.1-8b").name
        'meta-llama/Llama-3.1-8B'
    """
    return _by_name().get(name.strip().removeprefix("hf:").lower())


def nearest_known(name: str) -> str | None:
    """Return the id of the model whose id or short name is nearly the given one, else None.

    Example:
        >>> nearest_known("meta-lama/Llama3.1-8B")
        'meta-llama/Llama-3.1-8B'
    """
    wanted = name.strip().removeprefix("hf:").lower()
    if len(wanted) > _LONGEST_NAME:
        return None
    near = difflib.get_close_matches(wanted, _by_name(), n=1, cutoff=0.8)
    return _by_name()[near[0]].name if near else None


def model_choices() -> dict[str, str]:
    """Return the models to choose from, each with a label to search in: built-in ones first."""
    built_in = {name: f"{_BUILTIN_LABELS[name]} · {name}" for name in BUILTIN_TASKS}
    shipped = {f"hf:{model.name}": f"{model.label} · {model.name}" for model in known_models()}
    del shipped["hf:microsoft/resnet-50"]  # the same as the built-in one
    return {**built_in, **shipped}


def lengths_of(name: str, task: Task | None = None) -> tuple[str, ...] | None:
    """Return which lengths of a sample a model takes: fields of TrainingConfig.

    Args:
        name: The model, in any form.
        task: What it is trained for; None takes the model's own task.

    Returns:
        Of seq_len, image_size, audio_seconds and num_frames those that the model takes, None
        where that is not known without loading it.
    """
    given = name.strip()
    if given in BUILTIN_TASKS:
        return (task or BUILTIN_TASKS[given]).lengths
    model = find_known_model(given)
    if model is not None:
        model_type, has_audio = model.config["model_type"], "audio_config" in model.config
        return lengths_of_sample(task or model.task, model_type, has_audio=has_audio)
    library, _, rest = given.partition(":")
    if library == "torchvision" and rest:
        return lengths_in_torchvision(rest)
    return Task.IMAGE_CLASSIFICATION.lengths if library == "timm" and rest else None


def task_of(name: str) -> Task | None:
    """Return what a model is trained for by default, None where that is not known here."""
    model = find_known_model(name)
    return BUILTIN_TASKS.get(name.strip()) or (model.task if model else None)


@cache
def _by_name() -> dict[str, KnownModel]:
    ids = {model.name.lower(): model for model in known_models()}
    short = {model.short_name: model for model in known_models()}
    return {**short, **ids}


def _read(values: dict[str, Any]) -> KnownModel:
    return KnownModel(**{**values, "task": Task(values["task"])})


def _natural(label: str) -> list[tuple[int, float, str]]:
    """Return what sorts labels as people do: 1.5B before 7B before 30B."""
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", label.lower())
    return [(0, float(part), "") if part[0].isdigit() else (1, 0.0, part) for part in parts]
