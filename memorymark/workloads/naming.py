"""The forms in which a model can be named, without torch: names are checked before it is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass

from memorymark.errors import UnknownChoice
from memorymark.workloads.known_models import BUILTIN_TASKS, find_known_model, known_models


@dataclass(frozen=True)
class ModelForm:
    """A form in which a model can be named.

    Attributes:
        form: The name or pattern.
        meaning: What it stands for.
    """

    form: str
    meaning: str


BUILTIN_NAMES = tuple(BUILTIN_TASKS)
VISION_LIBRARIES = ("torchvision", "timm")
HUGGING_FACE, CODE = "hf", "code"

MODEL_FORMS = (
    ModelForm("bert", "google-bert/bert-base-uncased with a sequence-classification head"),
    ModelForm("gpt2", "openai-community/gpt2 with a sequence-classification head"),
    ModelForm("resnet", "microsoft/resnet-50"),
    ModelForm(
        "bdh",
        "BDH (Dragon Hatchling, arXiv 2509.26507) over bytes, 25,296,896 parameters, to be trained "
        "from nothing",
    ),
    ModelForm(
        "gpt2-bytes",
        "a GPT-2 over bytes of as many parameters, 25,305,280, with 512 positions",
    ),
    ModelForm("bdh-small", "a BDH over bytes for CPUs, 851,968 parameters"),
    ModelForm(
        "gpt2-bytes-small",
        "a GPT-2 over bytes for CPUs, 858,880 parameters, with 256 positions",
    ),
    ModelForm(
        "hf:ID",
        "any Hugging Face model by hub id; only its configuration is read; those "
        "below need no network, and go by their short names too, as in llama-3.1-8b",
    ),
    ModelForm("hf:FOLDER", "a local folder with config.json"),
    ModelForm("torchvision:NAME", "any torchvision model for images or video"),
    ModelForm("timm:NAME", "any timm model, where timm is installed"),
    ModelForm("package.module:factory", "your own workload; command line and Python only"),
)

_FORMS = (
    "Other forms: hf:ID, hf:FOLDER, torchvision:NAME, timm:NAME, package.module:factory. "
    "`memorymark models` lists the models that need no network."
)


def form_of(model: str) -> tuple[str, str]:
    """Return the form of a model's name, and what it names in that form.

    Raises:
        UnknownChoice: No form fits the name; the error names the nearest one.

    Example:
        >>> form_of("hf:org/model"), form_of("bert"), form_of("mine:tiny")
        (('hf', 'org/model'), ('', 'bert'), ('code', 'mine:tiny'))
    """
    name = model.strip()
    if name in BUILTIN_NAMES:
        return "", name
    prefix, colon, rest = name.partition(":")
    if not colon and ("/" in name or find_known_model(name)):
        return HUGGING_FACE, name
    if prefix in (HUGGING_FACE, *VISION_LIBRARIES) and rest:
        return prefix, rest
    if colon and rest and all(part.isidentifier() for part in prefix.split(".")):
        return CODE, name
    others = [known.short_name for known in known_models()]
    raise UnknownChoice("model", model, BUILTIN_NAMES, _FORMS, others)


def is_folder(model: str) -> bool:
    """Return whether a model's name means a local folder, or a file in its place, that exists."""
    return os.path.exists(os.path.expanduser(model.removeprefix(f"{HUGGING_FACE}:")))
