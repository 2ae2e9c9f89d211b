"""How each task is trained: transformers' Auto classes, and what makes its batches."""

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
        auto_classes: transformers' Auto classes, the first that has the model.
        make: Makes a batch.
        has_labels: Whether the head has a number of classes.
        only: Model types for which the batch is known; None where it is for all.
        takes: An argument that the class must have.
    """

    auto_classes: tuple[str, ...]
    make: Callable[[BatchSpec], Inputs]
    has_labels: bool = False
    only: frozenset[str] | None = None
    takes: str | None = None


_SPEECH = frozenset({
    "canary", "cohere_asr", "moonshine", "seamless_m4t", "seamless_m4t_v2",
    "speech-encoder-decoder", "speech_to_text", "speecht5", "whisper",
})  # fmt: skip

FORMS = {
    Task.SEQUENCE_CLASSIFICATION: Form(
        ("AutoModelForSequenceClassification",), text.tokens, has_labels=True
    ),
    Task.TOKEN_CLASSIFICATION: Form(
        ("AutoModelForTokenClassification",), text.tokens, has_labels=True
    ),
    Task.QUESTION_ANSWERING: Form(("AutoModelForQuestionAnswering",), text.tokens),
    Task.MULTIPLE_CHOICE: Form(("AutoModelForMultipleChoice",), text.tokens),
    Task.CAUSAL_LM: Form(("AutoModelForCausalLM",), text.tokens),
    Task.MASKED_LM: Form(("AutoModelForMaskedLM",), text.tokens),
    Task.SEQ2SEQ_LM: Form(("AutoModelForSeq2SeqLM",), text.tokens),
    Task.IMAGE_CLASSIFICATION: Form(
        ("AutoModelForImageClassification",), images.classified, has_labels=True
    ),
    Task.SPEECH_SEQ2SEQ: Form(
        ("AutoModelForSpeechSeq2Seq",), audio.transcribed, only=_SPEECH
    ),
    Task.CTC: Form(("AutoModelForCTC",), audio.aligned),
    Task.AUDIO_CLASSIFICATION: Form(
        ("AutoModelForAudioClassification",), audio.classified_audio, has_labels=True
    ),
    Task.CONTRASTIVE: Form(("AutoModel",), image_text.pairs, takes="return_loss"),
    Task.IMAGE_TEXT_TO_TEXT: Form(
        ("AutoModelForImageTextToText", "AutoModelForVision2Seq"), image_text.illustrated,
        only=frozenset(image_tokens.FORMS),
    ),
    Task.VISUAL_QUESTION_ANSWERING: Form(
        ("AutoModelForVisualQuestionAnswering",), image_text.questions, has_labels=True,
        only=frozenset({"blip", "vilt"}),
    ),
    Task.OBJECT_DETECTION: Form(
        ("AutoModelForObjectDetection",), images.detected, has_labels=True, takes="labels"
    ),
    Task.SEMANTIC_SEGMENTATION: Form(
        ("AutoModelForSemanticSegmentation",), images.segmented, has_labels=True
    ),
    Task.UNIVERSAL_SEGMENTATION: Form(
        ("AutoModelForUniversalSegmentation", "AutoModelForInstanceSegmentation"),
        images.segments, has_labels=True, takes="pixel_values",
    ),
    Task.MASK_GENERATION: Form(
        ("AutoModelForMaskGeneration",), images.prompted
    ),
    Task.DEPTH_ESTIMATION: Form(
        ("AutoModelForDepthEstimation",), images.depths
    ),
    Task.MASKED_IMAGE_MODELING: Form(
        ("AutoModelForMaskedImageModeling", "AutoModelForPreTraining"), images.masked,
        only=frozenset({
            "deit", "focalnet", "hiera", "swin", "swinv2", "vit", "vit_mae",
        }),
    ),
    Task.VIDEO_CLASSIFICATION: Form(
        ("AutoModelForVideoClassification",), videos.classified_videos, has_labels=True
    ),
    Task.MASKED_VIDEO_MODELING: Form(
        ("AutoModelForPreTraining",), videos.masked_videos, only=frozenset({"videomae"})
    ),
}  # fmt: skip
