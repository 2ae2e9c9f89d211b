"""How large images, and how long audio, video and text are where the user leaves it open."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from memorymark.errors import BatchTooLong
from memorymark.records.config import DEFAULT_IMAGE_SIZE, Task, TrainingConfig, with_image_size
from memorymark.workloads.inputs.audio import own_seconds
from memorymark.workloads.inputs.batch_spec import part, text_config, vision_config
from memorymark.workloads.sample_lengths import lengths_of_sample, with_own_lengths

_DEFAULT_SECONDS = 10
_DEFAULT_FRAMES = 16

# The size to which the processors of models without one in their configuration scale images.
_PROCESSOR_SIZES = {
    "conditional_detr": 800, "dab-detr": 800, "deformable_detr": 800, "detr": 800,
    "table-transformer": 800, "mask2former": 800, "maskformer": 800, "oneformer": 800,
    "d_fine": 640, "deimv2": 640, "rt_detr": 640, "rt_detr_v2": 640, "segformer": 512,
    "upernet": 512, "glpn": 480, "depth_pro": 1536, "sam2": 1024, "sam2_video": 1024,
    "edgetam": 1024, "sam3_tracker": 1008, "sam3_video": 1008,
}  # fmt: skip
# Models with a table of the positions in an image, for which one size is right.
_OF_ONE_SIZE = {
    "vit", "deit", "vit_msn", "beit", "data2vec-vision", "vit_mae", "timesformer", "videomae",
    "vivit", "sam", "sam_hq",
}  # fmt: skip
# Models that take images of any size, whatever their configuration states.
_OF_ANY_SIZE = {
    "mistral3", "glm4v", "glm4v_moe", "glm46v", "qwen2_vl", "qwen2_5_vl", "qwen3_vl",
    "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "pix2struct", "florence2",
}  # fmt: skip
_TILED = {"llava_next", "llava_onevision"}

# Fields of configurations that say how many tokens some layers look back at most.
_WINDOWS = ("sliding_window", "attention_chunk_size", "attention_window_size")


def windows_of(hf_config: Any) -> set[int]:
    """Return how many tokens layers look back at most; layers that look at all do not count."""
    text = hf_config
    if hasattr(hf_config, "get_text_config"):
        text = hf_config.get_text_config(decoder=True)
    windows = (getattr(text, name, None) for name in _WINDOWS)
    return {each for each in windows if each is not None}


def fill_in(hf_config: Any, config: TrainingConfig, name: str) -> TrainingConfig:
    """Return the config with the lengths of a sample, the model's own where none was given.

    Lengths that the model does not take are left out.

    Raises:
        BatchTooLong: A length was given, and the model takes but another one.
        InvalidValue: A length of audio or video was given to a model that takes none.
    """
    task, found = config.task, {}
    read = lengths_of_sample(
        task or Task.CAUSAL_LM,
        hf_config.model_type,
        has_audio=hasattr(hf_config, "audio_config"),
    )
    config = with_own_lengths(config, read, name)
    for length in ("image_size", "audio_seconds", "num_frames"):
        if length in read:
            own, is_fixed = _OWN[length](hf_config, task)
            found[length] = _agreed(getattr(config, length), own, is_fixed, length, name)
    if task is Task.CONTRASTIVE:
        found["seq_len"] = min(config.seq_len, _text_positions(hf_config))
    return with_image_size(dataclasses.replace(config, **found))


def _agreed(given: int | None, own: int, is_fixed: bool, length: str, name: str) -> int:
    if given is None or given == own:
        return own
    if is_fixed:
        taken, unit, flag = _WORDS[length]
        raise BatchTooLong(
            f"The model {name!r} takes {taken} of {own} {unit}, not {given}. "
            f"Set the {flag} to {own}."
        )
    return given


_WORDS = {
    "image_size": ("images", "pixels", "image size"),
    "audio_seconds": ("audio", "seconds", "audio length"),
    "num_frames": ("videos", "frames", "number of video frames"),
}


def _image_size(hf_config: Any, task: Task | None) -> tuple[int, bool]:
    """Return the model's own size of images in pixels, and whether it takes no other."""
    model_type = getattr(hf_config, "model_type", "")
    if model_type in _PROCESSOR_SIZES and task is not Task.IMAGE_CLASSIFICATION:
        return _PROCESSOR_SIZES[model_type], model_type in _OF_ONE_SIZE
    seen = vision_config(hf_config)
    if model_type == "siglip2" and getattr(seen, "num_patches", None):
        return math.isqrt(seen.num_patches) * seen.patch_size, True
    if model_type in _OF_ANY_SIZE:
        return DEFAULT_IMAGE_SIZE, False
    own = _first(getattr(seen, "image_size", None)) or _first(getattr(hf_config, "image_size", 0))
    if not own:
        return _first(getattr(hf_config, "crop_size", 0)) or DEFAULT_IMAGE_SIZE, False
    if model_type in _TILED:
        pinpoints = getattr(hf_config, "image_grid_pinpoints", None) or [[own, own]]
        return max(height for height, width in pinpoints if height == width), False
    in_a_part = seen is not hf_config and hasattr(seen, "patch_size")
    return own, in_a_part or model_type in _OF_ONE_SIZE


def _first(size: Any) -> int:
    size = size[0] if isinstance(size, list | tuple) and size else size
    return size if isinstance(size, int) else 0


def _audio_seconds(hf_config: Any, task: Task | None) -> tuple[int, bool]:
    own = own_seconds(hf_config)
    return own or _DEFAULT_SECONDS, own is not None


def _num_frames(hf_config: Any, task: Task | None) -> tuple[int, bool]:
    seen = part(hf_config, "vision_config")
    names = ("num_frames", "frames_per_clip")
    own = next((getattr(seen, name) for name in names if getattr(seen, name, None)), None)
    return own or _DEFAULT_FRAMES, own is not None


_OWN = {"image_size": _image_size, "audio_seconds": _audio_seconds, "num_frames": _num_frames}


def text_positions(hf_config: Any) -> int | None:
    """Return how many tokens the model's positions are for; None where it has no end."""
    text = part(hf_config, "text_config")
    text = text_config(hf_config) if text is hf_config else text
    limit = getattr(text, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def _text_positions(hf_config: Any) -> int:
    """Return the longest text that the model reads; tokenizers cut longer ones."""
    return text_positions(hf_config) or 10_000_000
