"""Which lengths a sample of a model has, without torch: pages ask for these and no others."""

from __future__ import annotations

import dataclasses

from memorymark.errors import InvalidValue
from memorymark.records.config import DEFAULT_IMAGE_SIZE, Task, TrainingConfig

_WITH_VIDEO = ("xclip", "videoprism")
_VIDEO_MODELS = ("mc3", "mvit", "r2plus1d", "r3d", "s3d", "swin3d")
_WORDS = {"image_size": "images", "audio_seconds": "audio", "num_frames": "video"}
_FLAGS = {"seq_len": "sequence length", "image_size": "image size"}
_FLAGS |= {"audio_seconds": "audio length", "num_frames": "number of video frames"}


def lengths_of_sample(
    task: Task, model_type: str = "", *, has_audio: bool = False
) -> tuple[str, ...]:
    """Return the fields of TrainingConfig that say how long or large a sample is.

    Args:
        task: What the model is trained for.
        model_type: Its type in transformers.
        has_audio: Whether its configuration has a part for audio.

    Example:
        >>> lengths_of_sample(Task.CONTRASTIVE, "clip")
        ('image_size', 'seq_len')
    """
    if task is not Task.CONTRASTIVE:
        return task.lengths
    if has_audio:
        return ("audio_seconds", "seq_len")
    video = ("num_frames",) if model_type in _WITH_VIDEO else ()
    return (*video, "image_size", "seq_len")


def check_lengths(config: TrainingConfig, taken: tuple[str, ...], name: str) -> TrainingConfig:
    """Refuse a length that a model does not take: it would be ignored in silence.

    A size of images that was left open is filled in for every model: it does not say that somebody
    gave it. Nor does a sequence length, which always has a value: it is left out of the config that
    is returned, so that no result of images says a number of tokens.

    Raises:
        InvalidValue: The config gives such a length.
    """
    for length, what in _WORDS.items():
        given = getattr(config, length)
        filled_in = DEFAULT_IMAGE_SIZE if length == "image_size" else None
        if length not in taken and given not in (None, filled_in):
            own = " and ".join(_FLAGS[each] for each in taken) or "none"
            raise InvalidValue(
                _FLAGS[length], given, f"nothing: {name!r} takes no {what}; its lengths: {own}"
            )
    if "seq_len" in taken:
        return config
    return dataclasses.replace(config, seq_len=TrainingConfig.seq_len)


def lengths_in_torchvision(name: str) -> tuple[str, ...]:
    """Return the lengths of a sample of a torchvision model, by how its models are named."""
    is_video = name.startswith(_VIDEO_MODELS)
    return (Task.VIDEO_CLASSIFICATION if is_video else Task.IMAGE_CLASSIFICATION).lengths
