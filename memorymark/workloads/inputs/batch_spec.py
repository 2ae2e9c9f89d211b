"""What a batch is made from, and the few facts of a configuration that several batches need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memorymark.records.config import TrainingConfig

Inputs = dict[str, Any]


@dataclass(frozen=True)
class BatchSpec:
    """One batch of one model.

    Attributes:
        hf_config: The model's configuration.
        config: How it is trained, with what the workload filled in.
        batch_size: Samples in the batch.
        takes: Names of the arguments of the model's forward pass.
    """

    hf_config: Any
    config: TrainingConfig
    batch_size: int
    takes: frozenset[str]

    @property
    def model_type(self) -> str:
        """The name of the architecture in transformers."""
        return getattr(self.hf_config, "model_type", "")

    @property
    def image_size(self) -> int:
        """Height and width of an image in pixels."""
        return self.config.image_size or 0

    @property
    def num_labels(self) -> int:
        """Number of classes."""
        return self.config.num_labels or 2

    def taken(self, **tensors: Any) -> Inputs:
        """Return those of the tensors that the model takes."""
        return {name: value for name, value in tensors.items() if name in self.takes}

    def random_pixels(self, *middle: int) -> Tensor:
        """Return random images in [0, 1], (batch_size, *middle, channels, size, size)."""
        size = self.image_size
        return torch.rand(self.batch_size, *middle, channels(self.hf_config), size, size)


def part(hf_config: Any, *names: str) -> Any:
    """Return the first part of a configuration that is there, else the configuration itself."""
    for name in names:
        found = getattr(hf_config, name, None)
        if found is not None and not isinstance(found, Mapping | str | int):
            return found
    return hf_config


def vision_config(hf_config: Any) -> Any:
    """Return the configuration of what sees the images."""
    return part(hf_config, "vision_config", "encoder", "backbone_config")


def channels(hf_config: Any) -> int:
    """Return the number of channels of an image."""
    vision = vision_config(hf_config)
    return getattr(vision, "num_channels", None) or getattr(hf_config, "num_channels", None) or 3


def text_config(hf_config: Any) -> Any:
    """Return the configuration of what reads or writes the text."""
    if not hasattr(hf_config, "get_text_config"):
        return hf_config
    try:
        return hf_config.get_text_config()
    except ValueError:  # it has several; the labels are the decoder's
        return hf_config.get_text_config(decoder=True)


def vocabulary_size(hf_config: Any) -> int:
    """Return the number of token ids that the model knows."""
    text = text_config(hf_config)
    return int(getattr(text, "vocab_size", None) or getattr(hf_config, "vocab_size", None) or 2)


def words(hf_config: Any) -> tuple[int, int]:
    """Return the range of token ids that are ordinary words: the first, and one past the last.

    Some models reject their special tokens in the middle of a sequence, or count those that
    stand for an image. They lie below a small floor or at the end of the vocabulary.
    """
    vocabulary = vocabulary_size(hf_config)
    special = {
        value
        for name, value in vars(hf_config).items()
        if name.endswith(("_token_id", "_token_index")) and isinstance(value, int)
    }
    low = min(10, vocabulary - 1)
    while low in special and low + 1 < vocabulary:
        low += 1
    return low, min([vocabulary, *(token for token in special if token > low)])


def image_token(hf_config: Any) -> int:
    """Return the id of the placeholder for an image; the last id where none is given."""
    found = (getattr(hf_config, name, None) for name in IMAGE_TOKEN_NAMES)
    last = vocabulary_size(hf_config) - 1
    return next((token for token in found if token is not None), last)


IMAGE_TOKEN_NAMES = ("image_token_id", "image_token_index")
