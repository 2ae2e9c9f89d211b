"""How each task is trained: what makes its batches; its class stands in auto_classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from memorymark.records.config import Task
from memorymark.workloads.inputs import audio, image_text, image_tokens, images, text, videos
from memorymark.workloads.inputs.batch_spec import BatchSpec, Inputs


@dataclass(frozen=True)
class Form:
    """How a task is trained.

    Attributes:
        make: Makes a batch.
        has_labels: Whether the head has a number of classes.
        only: Model types for which the batch is known; None where it is for all.
        takes: An argument that the class must have.
    """

    make: Callable[[BatchSpec], Inputs]
    has_labels: bool = False
    only: frozenset[str] | None = None
    takes: str | None = None


_SPEECH = frozenset({
    "canary", "cohere_asr", "moonshine", "seamless_m4t", "seamless_m4t_v2",
    "speech-encoder-decoder", "speech_to_text", "speecht5", "whisper",
})  # fmt: skip

FORMS = {
    Task.SEQUENCE_CLASSIFICATION: Form(text.tokens, has_labels=True),
    Task.TOKEN_CLASSIFICATION: Form(text.tokens, has_labels=True),
    Task.QUESTION_ANSWERING: Form(text.tokens),
    Task.MULTIPLE_CHOICE: Form(text.tokens),
    Task.CAUSAL_LM: Form(text.tokens),
    Task.MASKED_LM: Form(text.tokens),
    Task.SEQ2SEQ_LM: Form(text.tokens),
    Task.IMAGE_CLASSIFICATION: Form(images.classified, has_labels=True),
    Task.SPEECH_SEQ2SEQ: Form(audio.transcribed, only=_SPEECH),
    Task.CTC: Form(audio.aligned),
    Task.AUDIO_CLASSIFICATION: Form(audio.classified_audio, has_labels=True),
    Task.CONTRASTIVE: Form(image_text.pairs, takes="return_loss"),
    Task.IMAGE_TEXT_TO_TEXT: Form(image_text.illustrated, only=frozenset(image_tokens.FORMS)),
    Task.VISUAL_QUESTION_ANSWERING: Form(
        image_text.questions, has_labels=True, only=frozenset({"blip", "vilt"})
    ),
    Task.OBJECT_DETECTION: Form(images.detected, has_labels=True, takes="labels"),
    Task.SEMANTIC_SEGMENTATION: Form(images.segmented, has_labels=True),
    Task.UNIVERSAL_SEGMENTATION: Form(images.segments, has_labels=True, takes="pixel_values"),
    Task.MASK_GENERATION: Form(images.prompted),
    Task.DEPTH_ESTIMATION: Form(images.depths),
    Task.MASKED_IMAGE_MODELING: Form(
        images.masked,
        only=frozenset({"deit", "focalnet", "hiera", "swin", "swinv2", "vit", "vit_mae"}),
    ),
    Task.VIDEO_CLASSIFICATION: Form(videos.classified_videos, has_labels=True),
    Task.MASKED_VIDEO_MODELING: Form(videos.masked_videos, only=frozenset({"videomae"})),
}
