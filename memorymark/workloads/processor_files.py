"""Tokenizers and processors of a model's folder, and what stands in their place. Never code."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memorymark.errors import MissingPackage, WorkloadError, quoted
from memorymark.records.config import DEFAULT_IMAGE_SIZE, TrainingConfig
from memorymark.workloads.inputs.batch_spec import channels

_TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt",
    "spiece.model", "sentencepiece.bpe.model", "source.spm", "tekken.json",
)  # fmt: skip
_PREPROCESSOR = ("preprocessor_config.json", "processor_config.json")


class Processors:
    """What turns text, images and sounds into inputs, as far as a folder has it.

    Args:
        folder: The folder; None for none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer; None where there is none."""
        return self._loaded("AutoTokenizer", _TOKENIZER)

    @cached_property
    def image_processor(self) -> Any:
        """What scales images; None where there is none."""
        return self._loaded("AutoImageProcessor", _PREPROCESSOR)

    @cached_property
    def feature_extractor(self) -> Any:
        """What turns sounds into spectrograms; None where there is none."""
        return self._loaded("AutoFeatureExtractor", _PREPROCESSOR)

    @cached_property
    def processor(self) -> Any:
        """What reads images beside text; None where one of its parts is not there."""
        if self.tokenizer is None:
            return None
        return self._loaded("AutoProcessor", _PREPROCESSOR)

    def _loaded(self, auto: str, files: tuple[str, ...]) -> Any:
        folder = self._folder
        if folder is None or not any((folder / name).is_file() for name in files):
            return None
        import transformers

        try:
            load: Callable[..., Any] = getattr(transformers, auto).from_pretrained
            return load(str(folder), local_files_only=True, trust_remote_code=False)
        except ImportError as error:
            package = getattr(error, "name", None) or "sentencepiece"
            raise MissingPackage(package, f"The tokenizer in {quoted(str(folder))}") from error
        except Exception as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            what = auto.removeprefix("Auto").lower().replace("imageprocessor", "image processor")
            raise WorkloadError(
                f"The {what} in {quoted(str(folder))} cannot be used: {reason}"
            ) from error


def feature_extractor_for(config: Any) -> Any:
    """Return what hears for a Whisper without files, by its configuration; None for others."""
    if config.model_type != "whisper":
        return None
    from transformers import WhisperFeatureExtractor

    seconds = 2 * config.max_source_positions // 100  # two frames of 10 ms for each position
    return WhisperFeatureExtractor(feature_size=config.num_mel_bins, chunk_length=seconds)


def pixels_without_processor(
    image: Any, config: Any, built_as: TrainingConfig
) -> tuple[Tensor, str]:
    """Return an image's pixels (1, channels, size, size) from -1 to 1, and a note that says so."""
    size = built_as.image_size or DEFAULT_IMAGE_SIZE
    image = image.resize((size, size))
    if channels(config) == 1:
        image = image.convert("L")
    values = np.asarray(image, dtype=np.float32).reshape(size, size, -1)
    pixels = torch.from_numpy(values / 127.5 - 1).permute(2, 0, 1).unsqueeze(0)
    return pixels, (
        f"The model comes without a preprocessor_config.json: the image was scaled to {size} x "
        f"{size} pixels, from -1 to 1."
    )
