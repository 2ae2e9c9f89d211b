"""The lines that make a model as MemoryMark makes it: by its published id or its library's name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from memorymark.errors import UnknownChoice, UsageError, quoted
from memorymark.records.config import Task, TrainingConfig, UseCache
from memorymark.workloads.auto_classes import AUTO_CLASSES
from memorymark.workloads.byte_models import BYTE_MODELS
from memorymark.workloads.config_file import read_config_file
from memorymark.workloads.known_models import BUILTIN_TASKS, find_known_model
from memorymark.workloads.naming import CODE, VISION_LIBRARIES, form_of
from memorymark.workloads.own_architectures import OWN

_BUILTIN = {
    "bert": "google-bert/bert-base-uncased",
    "gpt2": "openai-community/gpt2",
    "resnet": "microsoft/resnet-50",
}
_BUILTIN_LABELS = {"bert": 2, "gpt2": 2, "resnet": 1000}
_CLASSES_OF_IMAGES = 1000
_OWN_IMPORT = ("from memorymark.workloads.own_architectures import know_architecture",)
_OWN_BUILD = (
    "# transformers does not have the architecture: MemoryMark brings it, and is needed here.",
    'know_architecture("bdh")',
)
# Their classes in transformers cannot recompute: nn.Module.supports_gradient_checkpointing.
_WITHOUT_CHECKPOINTING = ("convnext", "convnextv2", "resnet")
_T5 = ("t5", "mt5", "umt5", "longt5")
_IMAGE_TASKS = tuple(task for task in Task if "image_size" in task.lengths)


class Library(StrEnum):
    """Where a model comes from."""

    TRANSFORMERS = "transformers"
    TORCHVISION = "torchvision"
    TIMM = "timm"
    OWN = "own"


class Checkpointing(StrEnum):
    """Who recomputes activations: the model's own method, a function over its blocks, or either."""

    OWN = "own"
    BLOCKS = "blocks"
    EITHER = "either"


@dataclass(frozen=True)
class ModelCode:
    """How a model is made.

    Attributes:
        name: Its id, folder, or name in its library.
        library: Where it comes from.
        task: What it is trained for.
        imports: The lines that import what makes it.
        build: The lines that make `model` with random weights.
        checkpointing: Who recomputes activations where that is asked for.
        known: Its configuration, where it is known here: of shipped models and of folders.
    """

    name: str
    library: Library
    task: Task
    imports: tuple[str, ...]
    build: tuple[str, ...]
    checkpointing: Checkpointing = Checkpointing.BLOCKS
    known: dict[str, Any] = field(default_factory=dict)


def model_code(model: str, config: TrainingConfig) -> ModelCode:
    """Return how a model is made.

    Args:
        model: Its name in a form of the interface.
        config: How it is trained.

    Raises:
        UsageError: The name is in no form from which another program could make the model.
    """
    try:
        form, name = form_of(model)
    except UnknownChoice as error:
        raise UsageError(
            f"There is no script for {quoted(model)}: it is a workload that was handed over, and "
            "no name by which a script could make it. Give a name, as in package.module:factory."
        ) from error
    if form == CODE:
        return _own(name, config)
    if form in VISION_LIBRARIES:
        return _vision(Library(form), name, config)
    return _hugging_face(name, config)


def _own(name: str, config: TrainingConfig) -> ModelCode:
    module, _, factory = name.partition(":")
    return ModelCode(
        name,
        Library.OWN,
        config.task or Task.IMAGE_CLASSIFICATION,
        (f"from {module} import {factory}",),
        (
            f"# {factory} may return more: its own optimizer, its own step. It may take the",
            "# TrainingConfig: then hand it over, as in " + f"{factory}(config).",
            f"model, make_own_batch, compute_own_loss = {factory}()",
        ),
    )


def _vision(library: Library, name: str, config: TrainingConfig) -> ModelCode:
    options = f"num_classes={config.num_labels or _CLASSES_OF_IMAGES}"
    if library is Library.TIMM:
        imports, build = "import timm", f"timm.create_model({name!r}, {options})"
    else:
        imports = "import torchvision"
        options += ", init_weights=False" if name in ("googlenet", "inception_v3") else ""
        is_other_vit = name.startswith("vit_") and config.image_size not in (None, 224)
        options += f", image_size={config.image_size}" if is_other_vit else ""
        without = ", weights_backbone=None" if config.task is Task.SEMANTIC_SEGMENTATION else ""
        build = f"torchvision.models.get_model({name!r}, weights=None{without}, {options})"
    task = config.task or Task.IMAGE_CLASSIFICATION
    return ModelCode(name, library, task, (imports,), (f"model = {build}",))


def _hugging_face(name: str, config: TrainingConfig) -> ModelCode:
    known, over_bytes = find_known_model(_BUILTIN.get(name, name)), BYTE_MODELS.get(name)
    task = config.task or BUILTIN_TASKS.get(name) or (known.task if known else None)
    if task is None:
        raise UsageError(f"What {quoted(name)} is trained for is not known: give the task.")
    values = dict((known or over_bytes).config) if known or over_bytes else {}
    held = values or _in_folder(name)
    own = _OWN_IMPORT if held.get("model_type") in OWN else ()
    labels = config.num_labels or _BUILTIN_LABELS.get(name)
    auto = AUTO_CLASSES[task][0]
    attention = ', attn_implementation="eager"' if config.attention == "eager" else ""
    build = (
        *(_OWN_BUILD if own else ()),
        *_configuration(name, values, labels),
        *_settings(task, config, values, is_known=bool(values)),
        *_words_on_weights(name, auto),
        f"model = {auto}.from_config(config{attention})",
        *_own_head(values),
    )
    return ModelCode(
        known.name if known else _folder(name),
        Library.TRANSFORMERS,
        task,
        (*own, f"from transformers import AutoConfig, {auto}"),
        build,
        _checkpointing(task, values),
        held,
    )


def _words_on_weights(name: str, auto: str) -> tuple[str, ...]:
    if name in BYTE_MODELS:
        return ("# Random weights.",)
    published = f"# {auto}.from_pretrained(MODEL, config=config)."
    return "# Random weights; the published ones come with", published


def _configuration(name: str, values: dict[str, Any], labels: int | None) -> Iterator[str]:
    """Yield what makes the configuration: without a network, where its numbers are known here."""
    if not values:
        if not Path(_folder(name)).exists():
            yield "# From the Hugging Face hub, unless its cache on this machine has it."
        more = f", num_labels={labels}" if labels else ""
        yield f"config = AutoConfig.from_pretrained(MODEL{more})"
        return
    numbers = {key: value for key, value in values.items() if key != "architectures"}
    if labels:
        numbers["num_labels"] = labels
    if name not in BYTE_MODELS:
        yield "# The published numbers; AutoConfig.from_pretrained(MODEL) reads them from the hub."
    yield "config = AutoConfig.for_model("
    yield from (f"    {key}={_written(value)}," for key, value in numbers.items())
    yield ")"


def _written(value: Any) -> str:
    """Return a value as Python's, in double quotes where it needs no escapes."""
    text = repr(value)
    return text if '"' in text or "\\" in text else text.replace("'", '"')


def _folder(name: str) -> str:
    path = os.path.expanduser(name)
    return os.path.dirname(path) if os.path.basename(path) == "config.json" else path


def _in_folder(name: str) -> dict[str, Any]:
    """Return what the config.json of a folder holds; nothing where the name is no folder's."""
    file = Path(_folder(name), "config.json")
    values = read_config_file(file) if file.is_file() else {}
    return values if isinstance(values, dict) else {}


def _settings(
    task: Task, config: TrainingConfig, values: dict[str, Any], *, is_known: bool
) -> Iterator[str]:
    """Yield what is set in the configuration before the model is made."""
    if task is Task.SEQUENCE_CLASSIFICATION:
        yield from _pad_token(values, is_known)
    if task is Task.SEQ2SEQ_LM and not is_known:
        yield 'if getattr(config, "decoder_start_token_id", None) is None:'
        yield "    config.decoder_start_token_id = config.pad_token_id"
    if task is Task.CTC:
        yield "config.layerdrop = 0.0  # the step that runs all layers needs the most memory"
    if config.use_cache is not UseCache.AUTO:
        part = "config.text_config" if "text_config" in values else "config"
        yield f"{part}.use_cache = {config.use_cache is UseCache.ON}"


def _pad_token(values: dict[str, Any], is_known: bool) -> Iterator[str]:
    """The classifier of a decoder looks for the last token that is no padding."""
    if not is_known:
        yield 'if getattr(config, "pad_token_id", None) is None:'
        yield "    config.pad_token_id = config.eos_token_id"
    elif values.get("pad_token_id") is None and values.get("eos_token_id") is not None:
        yield f"config.pad_token_id = {values['eos_token_id']}  # it has none of its own"


def _own_head(values: dict[str, Any]) -> Iterator[str]:
    if values.get("model_type") in _T5 and values.get("tie_word_embeddings") is False:
        yield "# Its published head is no copy of the embeddings, as a new model's would be."
        yield "model.lm_head = torch.nn.Linear(config.d_model, config.vocab_size, bias=False)"


def _checkpointing(task: Task, values: dict[str, Any]) -> Checkpointing:
    if values.get("model_type") in _WITHOUT_CHECKPOINTING:
        return Checkpointing.BLOCKS
    if not values and task in _IMAGE_TASKS:
        return Checkpointing.EITHER
    return Checkpointing.OWN
