"""Hugging Face tasks: what a configuration is trained for, and with which class."""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from typing import Any

from memorymark.errors import MissingPackage, UnknownChoice, WorkloadError
from memorymark.records.config import Task, TrainingConfig
from memorymark.workloads.auto_classes import AUTO_CLASSES
from memorymark.workloads.inputs.batch_spec import (
    IMAGE_TOKEN_NAMES,
    BatchSpec,
    Inputs,
    image_token,
    text_config,
    vocabulary_size,
)
from memorymark.workloads.task_forms import FORMS

# What a model type is usually trained for, in this order, where its configuration does not say.
_USUAL = (
    Task.SPEECH_SEQ2SEQ, Task.IMAGE_TEXT_TO_TEXT, Task.VISUAL_QUESTION_ANSWERING,
    Task.UNIVERSAL_SEGMENTATION, Task.OBJECT_DETECTION, Task.MASK_GENERATION, Task.CTC,
    Task.DEPTH_ESTIMATION, Task.VIDEO_CLASSIFICATION, Task.CONTRASTIVE, Task.SEQ2SEQ_LM,
    Task.IMAGE_CLASSIFICATION, Task.SEMANTIC_SEGMENTATION, Task.MASKED_LM, Task.CAUSAL_LM,
)  # fmt: skip
_USUAL_BY_TYPE = {
    "detr": Task.OBJECT_DETECTION, "dpt": Task.DEPTH_ESTIMATION,
    "segformer": Task.SEMANTIC_SEGMENTATION,
}  # fmt: skip
# The endings by which published checkpoints name what they were trained for.
_ARCHITECTURE_ENDINGS = {
    "ForSequenceClassification": Task.SEQUENCE_CLASSIFICATION,
    "ForTokenClassification": Task.TOKEN_CLASSIFICATION,
    "ForQuestionAnswering": Task.QUESTION_ANSWERING,
    "ForMultipleChoice": Task.MULTIPLE_CHOICE,
    "ForCausalLM": Task.CAUSAL_LM,
    "LMHeadModel": Task.CAUSAL_LM,
    "ForMaskedLM": Task.MASKED_LM,
    "ForImageClassification": Task.IMAGE_CLASSIFICATION,
}
_TEXT_TASKS = (Task.CAUSAL_LM, Task.SEQ2SEQ_LM, Task.MASKED_LM)
_NOT_TEXT = {"pixel_values", "input_features", "input_values", "protein_input_ids"}
_FACTORY = "or write a package.module:factory"


def auto_class(hf_config: Any, task: Task) -> Any:
    """Return transformers' Auto class that has the model for the task, None where none has."""
    import transformers

    form, kind = FORMS[task], type(hf_config)
    if form.only is not None and getattr(hf_config, "model_type", "") not in form.only:
        return None
    for name in AUTO_CLASSES[task]:
        auto = getattr(transformers, name, None)
        if auto is not None and kind in auto._model_mapping:
            taken = form.takes is None or form.takes in _arguments(auto, kind)
            return auto if taken else None
    return None


def _classes(auto: Any, kind: type) -> tuple[type, ...]:
    found = auto._model_mapping[kind]
    return tuple(found) if isinstance(found, list | tuple) else (found,)


def _arguments(auto: Any, kind: type) -> frozenset[str]:
    return frozenset(inspect.signature(_classes(auto, kind)[0].forward).parameters)


def supported_tasks(hf_config: Any) -> list[Task]:
    """Return the tasks for which transformers has a class of this model."""
    return [task for task in FORMS if auto_class(hf_config, task) is not None]


def default_task(hf_config: Any, name: str) -> Task:
    """Return the task of the class that the configuration names, else the model's usual one.

    Raises:
        UnknownChoice: transformers has no class of this model for any task here.
        WorkloadError: It names a class whose batches are not known.
    """
    supported = supported_tasks(hf_config)
    if not supported:
        raise UnknownChoice(
            "model type for training", str(hf_config.model_type), [],
            "It has no class for any of the tasks: " + ", ".join(task.value for task in Task)
            + f". Take another model, {_FACTORY}.",
        )  # fmt: skip
    for architecture in getattr(hf_config, "architectures", None) or []:
        task = _task_of(hf_config, architecture, supported)
        if task is not None:
            return task
        _refuse_other_class(architecture, hf_config, name, supported)
    usual = _USUAL_BY_TYPE.get(hf_config.model_type)
    return next((task for task in (usual, *_USUAL) if task in supported), supported[0])


def _task_of(hf_config: Any, architecture: str, supported: list[Task]) -> Task | None:
    kind = type(hf_config)
    # Text comes last: a class that also reads images stands in the mappings of text too.
    for task in sorted(supported, key=lambda task: task in _TEXT_TASKS):
        auto = auto_class(hf_config, task)
        if architecture in [each.__name__ for each in _classes(auto, kind)]:
            more = _NOT_TEXT & _arguments(auto, kind) if task in _TEXT_TASKS else None
            return None if more else task
    for ending, task in _ARCHITECTURE_ENDINGS.items():
        if architecture.endswith(ending) and task in supported:
            return task
    return None


def _refuse_other_class(
    architecture: str, hf_config: Any, name: str, supported: list[Task]
) -> None:
    """Raise where a class is named that is trained in a way of its own.

    A base model, without a head, may be trained for whatever it is usually trained for.
    """
    import transformers

    if architecture.endswith("Model") or not hasattr(transformers, architecture):
        return
    tasks = ", ".join(task.value for task in supported)
    kind = getattr(getattr(transformers, architecture), "config_class", None)
    model_type = hf_config.model_type
    if kind is None or kind.model_type == model_type:
        problem = "whose batches are not known here"
    else:
        problem = f"which is of the model type {kind.model_type} and not {model_type}"
    raise WorkloadError(
        f"The configuration of {name!r} names the class {architecture}, {problem}. "
        f"Give a task that the model also has ({tasks}), {_FACTORY}."
    )


def check_packages(task: Task | None, name: str) -> None:
    """Check that what transformers needs for a task's loss is installed.

    Raises:
        MissingPackage: It is not.
    """
    matched = (Task.OBJECT_DETECTION, Task.UNIVERSAL_SEGMENTATION)
    if task in matched and find_spec("scipy") is None:
        raise MissingPackage("scipy", f"The loss of {name!r}, which matches objects,")


def has_labels(task: Task | None) -> bool:
    """Return whether the task's head has a number of classes."""
    return task is not None and FORMS[task].has_labels


def make_batch(hf_config: Any, config: TrainingConfig, batch_size: int) -> Inputs:
    """Return a random batch for the task on the default device, as its processor makes it."""
    task = config.task or Task.CAUSAL_LM
    auto = auto_class(hf_config, task)
    takes = _arguments(auto, type(hf_config)) if auto else frozenset()
    return FORMS[task].make(BatchSpec(hf_config, config, batch_size, takes))


def set_special_tokens(hf_config: Any, task: Task | None) -> None:
    """Give the configuration what its build or forward refuses to go without."""
    if getattr(hf_config, "architectures", None) is None:
        hf_config.architectures = []  # the Auto class looks through them where it has a choice
    _settle(hf_config)
    _set_pad_token(hf_config)
    text = text_config(hf_config)
    if text is not hf_config:
        _set_pad_token(text)
    for name in IMAGE_TOKEN_NAMES:
        if task is Task.IMAGE_TEXT_TO_TEXT and getattr(hf_config, name, 0) is None:
            setattr(hf_config, name, image_token(hf_config))
    is_encoder_decoder = task is Task.SEQ2SEQ_LM or getattr(hf_config, "is_encoder_decoder", False)
    if is_encoder_decoder and getattr(hf_config, "decoder_start_token_id", None) is None:
        hf_config.decoder_start_token_id = hf_config.pad_token_id
    languages = getattr(hf_config, "languages", None)
    if languages and getattr(hf_config, "default_language", "") is None:
        hf_config.default_language = next(iter(languages))


def _settle(hf_config: Any) -> None:
    """Drop no layers at random, and load no weights.

    The most memory is that of the step in which no layer is dropped.
    """
    for name, value in list(vars(hf_config).items()):
        if name.endswith("layerdrop"):
            setattr(hf_config, name, 0.0)
        elif name == "use_pretrained_backbone":
            hf_config.use_pretrained_backbone = False
        elif hasattr(value, "model_type"):
            _settle(value)


def _set_pad_token(hf_config: Any) -> None:
    if getattr(hf_config, "pad_token_id", None) is None:
        eos = getattr(hf_config, "eos_token_id", None)
        eos = eos[0] if isinstance(eos, list) and eos else eos
        vocabulary = vocabulary_size(hf_config)
        hf_config.pad_token_id = eos if isinstance(eos, int) and eos < vocabulary else 0


def build_failure(name: str, task: Task | None, error: Exception) -> str:
    """Say in one sentence why transformers could not build the model."""
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"The model {name!r} cannot be built for {task}: {first_line}"
