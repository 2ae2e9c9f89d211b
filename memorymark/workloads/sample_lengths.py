"""Which lengths a sample of a model has, without torch: forms ask for these and no others."""

from __future__ import annotations

from memorymark.records.config import Task

_WITH_VIDEO = ("xclip", "videoprism")
_VIDEO_MODELS = ("mc3", "mvit", "r2plus1d", "r3d", "s3d", "swin3d")


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


def lengths_in_torchvision(name: str) -> tuple[str, ...]:
    """Return the lengths of a sample of a torchvision model, by how its models are named."""
    is_video = name.startswith(_VIDEO_MODELS)
    return (Task.VIDEO_CLASSIFICATION if is_video else Task.IMAGE_CLASSIFICATION).lengths
