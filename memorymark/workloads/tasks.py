"""Hugging Face tasks: which Auto class trains them, and what a batch of each looks like."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from memorymark.errors import UnknownChoice
from memorymark.records.config import Task, TrainingConfig

_AUTO_CLASSES = {
    Task.SEQUENCE_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.TOKEN_CLASSIFICATION: "AutoModelForTokenClassification",
    Task.QUESTION_ANSWERING: "AutoModelForQuestionAnswering",
    Task.MULTIPLE_CHOICE: "AutoModelForMultipleChoice",
    Task.CAUSAL_LM: "AutoModelForCausalLM",
    Task.MASKED_LM: "AutoModelForMaskedLM",
    Task.SEQ2SEQ_LM: "AutoModelForSeq2SeqLM",
    Task.IMAGE_CLASSIFICATION: "AutoModelForImageClassification",
}
# The endings by which published checkpoints name what they were trained for.
_ARCHITECTURE_ENDINGS = {
    "ForSequenceClassification": Task.SEQUENCE_CLASSIFICATION,
    "ForTokenClassification": Task.TOKEN_CLASSIFICATION,
    "ForQuestionAnswering": Task.QUESTION_ANSWERING,
    "ForMultipleChoice": Task.MULTIPLE_CHOICE,
    "ForCausalLM": Task.CAUSAL_LM,
    "LMHeadModel": Task.CAUSAL_LM,
    "ForMaskedLM": Task.MASKED_LM,
    "ForConditionalGeneration": Task.SEQ2SEQ_LM,
    "ForImageClassification": Task.IMAGE_CLASSIFICATION,
}
_CHOICES_PER_SAMPLE = 4
_FIXED_IMAGE_SIZE = ("vit", "deit", "vit_msn", "beit", "data2vec-vision")


def auto_class(task: Task) -> Any:
    """Return transformers' Auto class for the task."""
    import transformers

    return getattr(transformers, _AUTO_CLASSES[task])


def supported_tasks(hf_config: Any) -> list[Task]:
    """Return the tasks for which transformers has a class of this model."""
    kind = type(hf_config)
    return [task for task in _AUTO_CLASSES if kind in auto_class(task)._model_mapping]


def default_task(hf_config: Any) -> Task:
    """Return what the model is usually trained for.

    Raises:
        UnknownChoice: transformers has no class of this model for any task here.
    """
    supported = supported_tasks(hf_config)
    if not supported:
        raise UnknownChoice(
            "model type for training", str(hf_config.model_type), [],
            "It has no class for any of the tasks: " + ", ".join(task.value for task in Task) + ".",
        )  # fmt: skip
    for name in getattr(hf_config, "architectures", None) or []:
        for ending, task in _ARCHITECTURE_ENDINGS.items():
            if name.endswith(ending) and task in supported:
                return task
    if Task.SEQ2SEQ_LM in supported and getattr(hf_config, "is_encoder_decoder", False):
        return Task.SEQ2SEQ_LM
    return next((task for task in _PREFERRED if task in supported), supported[0])


_PREFERRED = (Task.IMAGE_CLASSIFICATION, Task.MASKED_LM, Task.CAUSAL_LM)


def has_labels(task: Task | None) -> bool:
    """Return whether the task's head has a number of classes."""
    return task in (
        Task.SEQUENCE_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.IMAGE_CLASSIFICATION
    )  # fmt: skip


def fixes_image_size(hf_config: Any) -> bool:
    """Return whether the model has a table of image positions, so that its size is fixed."""
    has_patches = getattr(hf_config, "patch_size", None) is not None
    return has_patches and getattr(hf_config, "model_type", "") in _FIXED_IMAGE_SIZE


def set_special_tokens(hf_config: Any, task: Task | None) -> None:
    """Give the configuration what its build or forward refuses to go without."""
    if getattr(hf_config, "architectures", None) is None:
        hf_config.architectures = []  # the Auto class looks through them where it has a choice
    _set_pad_token(hf_config)
    text = _text_config(hf_config)
    if text is not hf_config:
        _set_pad_token(text)
    is_encoder_decoder = task is Task.SEQ2SEQ_LM or getattr(hf_config, "is_encoder_decoder", False)
    if is_encoder_decoder and getattr(hf_config, "decoder_start_token_id", None) is None:
        hf_config.decoder_start_token_id = hf_config.pad_token_id
    languages = getattr(hf_config, "languages", None)
    if languages and getattr(hf_config, "default_language", "") is None:
        hf_config.default_language = next(iter(languages))


def _set_pad_token(hf_config: Any) -> None:
    if getattr(hf_config, "pad_token_id", None) is None:
        eos = getattr(hf_config, "eos_token_id", None)
        eos = eos[0] if isinstance(eos, list) and eos else eos
        vocabulary = vocabulary_size(hf_config)
        hf_config.pad_token_id = eos if isinstance(eos, int) and eos < vocabulary else 0


def _text_config(hf_config: Any) -> Any:
    if not hasattr(hf_config, "get_text_config"):
        return hf_config
    try:
        return hf_config.get_text_config()
    except ValueError:  # it has several; the labels are the decoder's
        return hf_config.get_text_config(decoder=True)


def vocabulary_size(hf_config: Any) -> int:
    """Return the number of token ids that the model knows."""
    text = _text_config(hf_config)
    return int(getattr(text, "vocab_size", None) or getattr(hf_config, "vocab_size", None) or 2)


def make_batch(hf_config: Any, config: TrainingConfig, batch_size: int) -> dict[str, Tensor]:
    """Return a random batch for the task on the default device.

    Shapes: input_ids and attention_mask (batch_size, seq_len), or pixel_values
    (batch_size, channels, image_size, image_size); labels as the task has them.
    """
    if config.task is Task.IMAGE_CLASSIFICATION:
        return _images(hf_config, config, batch_size)
    return _tokens(hf_config, config, batch_size)


def _images(hf_config: Any, config: TrainingConfig, batch_size: int) -> dict[str, Tensor]:
    make = _IMAGES_IN_ANOTHER_FORM.get(getattr(hf_config, "model_type", ""), _pixels)
    batch = make(hf_config, config, batch_size)
    return batch | {"labels": torch.randint(config.num_labels or 2, (batch_size,))}


def _pixels(hf_config: Any, config: TrainingConfig, batch_size: int) -> dict[str, Tensor]:
    channels = getattr(hf_config, "num_channels", None) or 3
    size = config.image_size
    return {"pixel_values": torch.rand(batch_size, channels, size, size)}


def _color_tokens(hf_config: Any, config: TrainingConfig, batch_size: int) -> dict[str, Tensor]:
    """Make images as ImageGPT's processor does: one color cluster for each pixel."""
    clusters = hf_config.vocab_size - 1  # the last id starts a sequence
    return {"input_ids": torch.randint(clusters, (batch_size, hf_config.n_positions))}


def _patches(hf_config: Any, config: TrainingConfig, batch_size: int) -> dict[str, Tensor]:
    """Make images as SigLIP 2's processor does: patches, up to the model's number of them."""
    vision = hf_config.vision_config
    side = math.isqrt(vision.num_patches)
    values = vision.num_channels * vision.patch_size**2
    return {
        "pixel_values": torch.rand(batch_size, vision.num_patches, values),
        "pixel_attention_mask": torch.ones((batch_size, vision.num_patches), dtype=torch.long),
        "spatial_shapes": torch.full((batch_size, 2), side),
    }


_IMAGES_IN_ANOTHER_FORM = {"imagegpt": _color_tokens, "siglip2": _patches}


def _tokens(hf_config: Any, config: TrainingConfig, batch_size: int) -> dict[str, Tensor]:
    shape: tuple[int, ...] = (batch_size, config.seq_len)
    if config.task is Task.MULTIPLE_CHOICE:
        shape = (batch_size, _CHOICES_PER_SAMPLE, config.seq_len)
    # Some models reject their special tokens in the middle of a sequence; ids above a small
    # floor are ordinary words in every vocabulary.
    vocabulary = vocabulary_size(hf_config)
    low = min(10, vocabulary - 1)
    batch = {
        "input_ids": torch.randint(low, vocabulary, shape),
        "attention_mask": torch.ones(shape, dtype=torch.long),
    }
    batch.update(_labels(config, shape, low, vocabulary))
    return batch


def _labels(
    config: TrainingConfig, shape: tuple[int, ...], low: int, vocabulary: int
) -> dict[str, Tensor]:
    batch_size = shape[:1]
    if config.task is Task.SEQUENCE_CLASSIFICATION:
        return {"labels": torch.randint(config.num_labels or 2, batch_size)}
    if config.task is Task.TOKEN_CLASSIFICATION:
        return {"labels": torch.randint(config.num_labels or 2, shape)}
    if config.task is Task.MULTIPLE_CHOICE:
        return {"labels": torch.randint(_CHOICES_PER_SAMPLE, batch_size)}
    if config.task is Task.QUESTION_ANSWERING:
        positions = {"start_positions", "end_positions"}
        return {name: torch.randint(config.seq_len, batch_size) for name in sorted(positions)}
    return {"labels": torch.randint(low, vocabulary, shape)}


def build_failure(name: str, task: Task | None, error: Exception) -> str:
    """Say in one sentence why transformers could not build the model."""
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"The model {name!r} cannot be built for {task}: {first_line}"
