"""Turns a prompt, an image or a sound into a model's inputs, as its own processor does.

Where a folder has no tokenizer or processor, what stands in its place is said in a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memorymark.errors import InvalidValue, UsageError, WorkloadError, quoted
from memorymark.records.config import Task, TrainingConfig
from memorymark.records.generation_plan import GenerationPlan
from memorymark.workloads.byte_models import BYTE_MODELS, byte_tokenizer
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.inputs.batch_spec import image_token, text_config, words
from memorymark.workloads.media import HEARD_HZ
from memorymark.workloads.processor_files import (
    Processors,
    feature_extractor_for,
    pixels_without_processor,
)
from memorymark.workloads.serving_spec import WRITTEN

READING_TEXT = (Task.CAUSAL_LM, Task.SEQ2SEQ_LM)
READING_IMAGES = (Task.IMAGE_TEXT_TO_TEXT, Task.IMAGE_CLASSIFICATION)
READING_SOUND = (Task.SPEECH_SEQ2SEQ,)
_WITHOUT_PROMPT = ("vision-encoder-decoder", "pix2struct")
# Processors that put the place of the image into the text themselves.
_PLACING = ("Blip", "InstructBlip", "Git", "PaliGemma", "Florence2")
_RANDOM_PROMPT = (
    "The model comes without a tokenizer: its prompt is {count} random tokens{instead}, and what "
    "it writes is shown as the numbers of tokens."
)


@dataclass
class ModelInputs:
    """What a model reads, on the host.

    Attributes:
        tensors: Its inputs by name, each in a storage of its own.
        prompt_tokens: Tokens of the prompt; None where no text is read.
        notes: What to know of how they were made.
    """

    tensors: dict[str, Tensor]
    prompt_tokens: int | None = None
    notes: list[str] = field(default_factory=list)


def check_media(task: Task, plan: GenerationPlan, name: str, model_type: str = "") -> None:
    """Compare what is given with what a model reads.

    Args:
        task: What the model does.
        plan: What is given.
        name: What a sentence calls the model.
        model_type: Its architecture.

    Raises:
        InvalidValue: Something is given that it does not read.
        UsageError: What it reads is not given.
    """
    takes_image, takes_sound = task in READING_IMAGES, task in READING_SOUND
    if plan.image is not None and not takes_image:
        raise InvalidValue("image", plan.image, f"none: {quoted(name)} reads no images ({task})")
    if plan.audio is not None and not takes_sound:
        raise InvalidValue("audio", plan.audio, f"none: {quoted(name)} hears no sound ({task})")
    if plan.prompt is not None and task in (Task.IMAGE_CLASSIFICATION, *READING_SOUND):
        reads = "an image" if takes_image else "a sound"
        raise InvalidValue("prompt", plan.prompt, f"none: {quoted(name)} reads {reads} alone")
    if takes_image and plan.prompt is not None and model_type in _WITHOUT_PROMPT:
        raise InvalidValue("prompt", plan.prompt, f"none: {quoted(name)} reads an image alone")
    if takes_image and plan.image is None:
        raise UsageError(f"{quoted(name)} reads an image. Give one with --image FILE.")
    if takes_sound and plan.audio is None:
        raise UsageError(f"{quoted(name)} hears a sound. Give one with --audio FILE.")


class Reader:
    """Makes the inputs of one model.

    Args:
        workload: The model.
        built_as: How it is built; its task says what it reads.
        folder: Where its tokenizer and processor lie; None for nowhere.
    """

    def __init__(
        self, workload: HuggingFaceWorkload, built_as: TrainingConfig, folder: Path | None
    ) -> None:
        self._workload, self._built_as = workload, built_as
        self._config = workload.hf_config
        self._processors = Processors(folder)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer; None where it has none."""
        if self._workload.name in BYTE_MODELS:
            return byte_tokenizer()
        return self._processors.tokenizer

    def read(
        self, plan: GenerationPlan, image: Any = None, sound: np.ndarray | None = None
    ) -> ModelInputs:
        """Return what the model reads.

        Args:
            plan: The prompt, or how long a random one is.
            image: An image as Pillow has it.
            sound: A sound of one channel.

        Raises:
            UsageError: The model does not read what is given.
            WorkloadError: Its processor cannot.
        """
        task = self._built_as.task
        try:
            if task in READING_SOUND:
                made = self._hear(sound)
            elif task is Task.IMAGE_CLASSIFICATION:
                made = self._see(image)
            elif task is Task.IMAGE_TEXT_TO_TEXT:
                made = self._see_and_read(image, plan)
            else:
                made = self._read(plan)
        except (UsageError, WorkloadError):
            raise
        except Exception as error:  # a processor is the model's own, and its files may be damaged
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise WorkloadError(
                f"The inputs of {quoted(self._workload.name)} cannot be made: {reason}"
            ) from error
        made.tensors = {name: _own(each) for name, each in made.tensors.items()}
        return made

    def _read(self, plan: GenerationPlan) -> ModelInputs:
        tokenizer = self.tokenizer
        if tokenizer is None:
            return self._random_prompt(plan)
        if not plan.prompt:
            raise UsageError(f"{quoted(self._workload.name)} reads a text. Give --prompt TEXT.")
        if self._built_as.task is Task.CAUSAL_LM and getattr(tokenizer, "chat_template", None):
            text = tokenizer.apply_chat_template(
                [{"role": "user", "content": plan.prompt}], add_generation_prompt=True,
                tokenize=False,
            )  # fmt: skip
            encoded = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        else:
            encoded = tokenizer(plan.prompt, return_tensors="pt")
        tensors = {name: encoded[name] for name in ("input_ids", "attention_mask")}
        return _with_count(tensors)

    def _random_prompt(self, plan: GenerationPlan) -> ModelInputs:
        low, high = words(self._config)
        ids = torch.randint(low, high, (1, plan.prompt_tokens))
        made = _with_count({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        instead = " in place of the given one" if plan.prompt else ""
        made.notes.append(_RANDOM_PROMPT.format(count=plan.prompt_tokens, instead=instead))
        return made

    def _see(self, image: Any) -> ModelInputs:
        processor = self._processors.image_processor
        if processor is not None:
            return ModelInputs(dict(processor(images=image, return_tensors="pt")))
        pixels, note = pixels_without_processor(image, self._config, self._built_as)
        return ModelInputs({"pixel_values": pixels}, notes=[note])

    def _see_and_read(self, image: Any, plan: GenerationPlan) -> ModelInputs:
        if self._config.model_type in _WITHOUT_PROMPT:
            return self._see(image)
        processor = self._processors.processor
        if processor is None:
            return self._see_without_processor(image, plan)
        text = _text_with_image(processor, plan.prompt)
        return _begun(dict(processor(images=image, text=text, return_tensors="pt")), self._config)

    def _see_without_processor(self, image: Any, plan: GenerationPlan) -> ModelInputs:
        """Put an image into random inputs of the form that the model reads."""
        batch: Mapping[str, Tensor] = self._workload.batch(1, self._built_as)
        tensors = {name: x for name, x in batch.items() if name not in WRITTEN}
        pixels, note = pixels_without_processor(image, self._config, self._built_as)
        if getattr(tensors.get("pixel_values"), "shape", None) == pixels.shape:
            tensors["pixel_values"] = pixels
        else:
            note = "The model comes without a processor: what it sees is random."
        made = _with_count(tensors)
        instead = " in place of the given one" if plan.prompt else ""
        count = self._built_as.seq_len
        made.notes += [note, _RANDOM_PROMPT.format(count=count, instead=instead)]
        return made

    def _hear(self, sound: np.ndarray | None) -> ModelInputs:
        assert sound is not None
        extractor = self._processors.feature_extractor or feature_extractor_for(self._config)
        if extractor is None:
            raise WorkloadError(
                f"{quoted(self._workload.name)} comes without a preprocessor_config.json, so that "
                "it is not known what it hears. Put it beside the model's config.json."
            )
        heard = dict(extractor(sound, sampling_rate=HEARD_HZ, return_tensors="pt"))
        made = ModelInputs(heard)
        limit = getattr(extractor, "chunk_length", None)  # seconds that it does not cut off
        seconds = len(sound) / HEARD_HZ
        if limit and seconds > limit:
            made.notes.append(
                f"The model hears {limit} s at a time: of {seconds:,.0f} s only the first were "
                "written down."
            )
        return made


def positions_of(config: Any) -> int | None:
    """Return how many tokens a model that writes can have read and written; None for any number."""
    text = text_config(config)
    for name in ("max_target_positions", "max_position_embeddings"):
        found = getattr(config, name, None) or getattr(text, name, None)
        if isinstance(found, int) and found > 0:
            return found
    return None


def _text_with_image(processor: Any, prompt: str | None) -> str | None:
    """Return a prompt with the place of the image in it, in the model's own form."""
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}, *([{"type": "text", "text": prompt}] if prompt else [])]
        told = [{"role": "user", "content": content}]
        return processor.apply_chat_template(told, add_generation_prompt=True, tokenize=False)
    place = getattr(processor, "image_token", None)
    own = type(processor).__name__.startswith(_PLACING)
    if place is None or own or place in (prompt or ""):
        return prompt
    return f"{place}\n{prompt}" if prompt else str(place)


def _begun(tensors: dict[str, Tensor], config: Any) -> ModelInputs:
    """Return inputs whose text begins as the model's own `generate` lets it begin."""
    text = text_config(config)
    if config.model_type == "blip":  # modeling_blip.py: its own first token, and no last one
        ids = tensors.get("input_ids", torch.zeros((1, 2), dtype=torch.long))[:, :-1].clone()
        ids[:, 0] = text.bos_token_id
        tensors |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    elif "input_ids" not in tensors and config.model_type in ("blip-2", "instructblip"):
        places = [image_token(config)] * config.num_query_tokens  # as in modeling_blip_2.py
        ids = torch.tensor([[*places, text.bos_token_id]])
        tensors |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return _with_count(tensors)


def _with_count(tensors: dict[str, Tensor]) -> ModelInputs:
    return ModelInputs(tensors, tensors["input_ids"].shape[1])


def _own(tensor: Tensor) -> Tensor:
    """Return a tensor in a storage of its own: what is measured is what is read."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)
