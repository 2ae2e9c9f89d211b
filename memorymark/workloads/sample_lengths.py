"""Which lengths a sample of a model has, without torch: pages ask for these and no others."""

from __future__ import annotations

import dataclasses

from memorymark.errors import InvalidValue
from memorymark.records.config import DEFAULT_IMAGE_SIZE, Task, TrainingConfig

_WITH_VIDEO = ("xclip", "videoprism")
_VIDEO_MODELS = ("mc3", "mvit", "r2plus1d", "r3d", "s3d", "swin3d")
_WORDS = {"seq_len": "text", "image_size": "images"}
_WORDS |= {"audio_seconds": "audio", "num_frames": "video"}
_NAMES = {"seq_len": "sequence length", "image_size": "image size"}
_NAMES |= {"audio_seconds": "audio length", "num_frames": "number of video frames"}
# What stands in a config for a length that the model does not take.
_LEFT_OUT = {
    "seq_len": TrainingConfig.seq_len,
    "image_size": DEFAULT_IMAGE_SIZE,
    "audio_seconds": None,
    "num_frames": None,
}


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


def with_own_lengths(config: TrainingConfig, taken: tuple[str, ...], name: str) -> TrainingConfig:
    """Leave out the lengths that a model does not take, so that no result says any of them.

    Raises:
        InvalidValue: One is given that has no value unless somebody gives it.
    """
    for length, default in _LEFT_OUT.items():
        given = getattr(config, length)
        if default is None and given is not None and length not in taken:
            own = " and ".join(_NAMES[each] for each in taken) or "none"
            expected = f"nothing: {name!r} takes no {_WORDS[length]}; its lengths: {own}"
            raise InvalidValue(_NAMES[length], given, expected)
    others = {length: value for length, value in _LEFT_OUT.items() if length not in taken}
    return dataclasses.replace(config, **others)


def lengths_left_out(given: TrainingConfig, described: TrainingConfig) -> tuple[str, ...]:
    """Say in words which lengths were given and are not in what a workload makes of a config.

    Example:
        >>> bert = TrainingConfig(task="masked-lm", image_size=224)
        >>> lengths_left_out(TrainingConfig(image_size=32), bert)
        ('no images: the image size 32 is left out',)
    """
    taken = described.task.lengths if described.task else tuple(_LEFT_OUT)
    values = ((name, getattr(given, name), getattr(described, name)) for name in _LEFT_OUT)
    return tuple(
        f"no {_WORDS[name]}: the {_NAMES[name]} {value:,} is left out"
        for name, value, kept in values
        if name not in taken and value is not None and value != kept
    )


def lengths_in_torchvision(name: str) -> tuple[str, ...]:
    """Return the lengths of a sample of a torchvision model, by how its models are named."""
    is_video = name.startswith(_VIDEO_MODELS)
    return (Task.VIDEO_CLASSIFICATION if is_video else Task.IMAGE_CLASSIFICATION).lengths
