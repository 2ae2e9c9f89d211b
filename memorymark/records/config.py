"""How a model is trained: one frozen record and its choices."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from memorymark.errors import InvalidValue, UnknownChoice
from memorymark.records.codec import Record
from memorymark.records.option import check_count, check_options, option, split_names

MAX_BATCH_SIZE = 65_535
_LONGEST_PATTERNS = 4_000
# Pixels, where neither the user nor the model says how large images are.
DEFAULT_IMAGE_SIZE = 224
# The fields of TrainingConfig that say how long or large a sample is.
LENGTHS = ("num_frames", "image_size", "audio_seconds", "seq_len")


class Precision(StrEnum):
    """Number formats of weights and arithmetic."""

    FP32 = "fp32"
    TF32 = "tf32"
    AMP_BF16 = "amp-bf16"
    AMP_FP16 = "amp-fp16"
    BF16 = "bf16"
    FP16 = "fp16"

    @property
    def is_amp(self) -> bool:
        """Whether weights stay in fp32 and autocast chooses the format of each operation."""
        return self in (Precision.AMP_BF16, Precision.AMP_FP16)


class Optimizer(StrEnum):
    """Optimizers; `none` stops after the backward pass."""

    NONE = "none"
    SGD = "sgd"
    SGD_MOMENTUM = "sgd-momentum"
    ADAM = "adam"
    ADAMW = "adamw"
    RMSPROP = "rmsprop"
    ADAGRAD = "adagrad"
    ADAFACTOR = "adafactor"
    ADAMW_8BIT = "adamw-8bit"


class OptimizerImpl(StrEnum):
    """torch.optim's implementations of one optimizer; they differ in temporaries."""

    DEFAULT = "default"
    FOREACH = "foreach"
    FUSED = "fused"
    FOR_LOOP = "for-loop"


class ZeroGrad(StrEnum):
    """Where in the step the gradients are released."""

    BEFORE_FORWARD = "before-forward"
    BEFORE_BACKWARD = "before-backward"
    AFTER_STEP = "after-step"


class UseCache(StrEnum):
    """Whether a Hugging Face model makes its cache for generation, as decoders do by default.

    `auto` leaves it as the model's configuration has it, and so as a loop does that does not
    speak of it. The cache's keys and values live as long as the model's outputs do. The model
    itself decides what comes of the switch: an encoder makes none, and transformers makes none
    while it recomputes activations.
    """

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Loop(StrEnum):
    """Whose loop runs the step: it decides how long loss, outputs and batches live.

    `plain` is a loop as people write it, with its variables in one function: loss and outputs of
    a step live until the next step's replace them, so the old ones are there while the model
    runs again. A batch lives until the next one exists.

    `trainer` is the loop of transformers' Trainer, as its versions 4.51.3 and 5.23.0 have it: the
    outputs end with the computation of the loss, before the backward pass; the loss goes on
    without its graph until the next step has its own; gradients are released after the optimizer
    step; the batches of all accumulation steps are on the device from the step's beginning.
    Version 5 also sets `use_cache` of the model's configuration to false, unless its training
    arguments say otherwise: `--use-cache off`. It clips gradients at 1.0 by default:
    `--grad-clip 1`. Lightning 2 drops the outputs where its
    `training_step` ends, as the Trainer does, but releases gradients between the forward and the
    backward pass: `--zero-grad before-backward`.
    """

    PLAIN = "plain"
    TRAINER = "trainer"

    @property
    def loads_ahead(self) -> bool:
        """Whether the batches of all accumulation steps are loaded at the step's beginning."""
        return self is Loop.TRAINER


class Attention(StrEnum):
    """Attention implementations, by the names of Hugging Face transformers."""

    SDPA = "sdpa"
    FLASH = "flash"
    EAGER = "eager"


class Task(StrEnum):
    """What the model is trained for; chooses the class of the model and what a batch holds."""

    SEQUENCE_CLASSIFICATION = "sequence-classification"
    TOKEN_CLASSIFICATION = "token-classification"
    QUESTION_ANSWERING = "question-answering"
    MULTIPLE_CHOICE = "multiple-choice"
    CAUSAL_LM = "causal-lm"
    MASKED_LM = "masked-lm"
    SEQ2SEQ_LM = "seq2seq-lm"
    IMAGE_CLASSIFICATION = "image-classification"
    SPEECH_SEQ2SEQ = "speech-seq2seq"
    CTC = "ctc"
    AUDIO_CLASSIFICATION = "audio-classification"
    CONTRASTIVE = "contrastive"
    IMAGE_TEXT_TO_TEXT = "image-text-to-text"
    VISUAL_QUESTION_ANSWERING = "visual-question-answering"
    OBJECT_DETECTION = "object-detection"
    KEYPOINT_DETECTION = "keypoint-detection"
    SEMANTIC_SEGMENTATION = "semantic-segmentation"
    UNIVERSAL_SEGMENTATION = "universal-segmentation"
    MASK_GENERATION = "mask-generation"
    DEPTH_ESTIMATION = "depth-estimation"
    MASKED_IMAGE_MODELING = "masked-image-modeling"
    VIDEO_CLASSIFICATION = "video-classification"
    MASKED_VIDEO_MODELING = "masked-video-modeling"

    @property
    def is_language_model(self) -> bool:
        """Whether a head over the vocabulary says each token, with cross entropy as the loss."""
        return self in (Task.CAUSAL_LM, Task.MASKED_LM, Task.SEQ2SEQ_LM)

    @property
    def lengths(self) -> tuple[str, ...]:
        """The fields of TrainingConfig that say how long or large a sample of the task is."""
        return _LENGTHS.get(self, ("seq_len",))


_IMAGES, _VIDEOS = ("image_size",), ("num_frames", "image_size")
_LENGTHS = {
    Task.IMAGE_CLASSIFICATION: _IMAGES,
    Task.SPEECH_SEQ2SEQ: ("audio_seconds", "seq_len"),
    Task.CTC: ("audio_seconds", "seq_len"),
    Task.AUDIO_CLASSIFICATION: ("audio_seconds",),
    Task.CONTRASTIVE: LENGTHS,
    Task.IMAGE_TEXT_TO_TEXT: ("image_size", "seq_len"),
    Task.VISUAL_QUESTION_ANSWERING: ("image_size", "seq_len"),
    Task.OBJECT_DETECTION: _IMAGES,
    Task.KEYPOINT_DETECTION: _IMAGES,
    Task.SEMANTIC_SEGMENTATION: _IMAGES,
    Task.UNIVERSAL_SEGMENTATION: _IMAGES,
    Task.MASK_GENERATION: _IMAGES,
    Task.DEPTH_ESTIMATION: _IMAGES,
    Task.MASKED_IMAGE_MODELING: _IMAGES,
    Task.VIDEO_CLASSIFICATION: _VIDEOS,
    Task.MASKED_VIDEO_MODELING: _VIDEOS,
}


def _read_patterns(given: object) -> str:
    """Return patterns of names with commas between them, and no blanks.

    Raises:
        InvalidValue: They are none, or too long.
    """
    names = split_names(given) if isinstance(given, str) else ()
    is_named = names and not any(map(str.isspace, "".join(names)))
    if not is_named or len(given) > _LONGEST_PATTERNS:
        accepted = "names of parameters or patterns such as *embed*, separated by commas"
        raise InvalidValue("freeze", given, accepted)
    return ",".join(names)


@dataclass(frozen=True)
class TrainingConfig(Record):
    """How a workload is trained. The batch size is not part of it: it is what is looked for.

    Names of choices are accepted as plain strings.

    Raises:
        UnknownChoice: A name is not on its list.
        InvalidValue: A number is out of range.

    Example:
        >>> TrainingConfig(precision="amp-bf16", seq_len=512).precision
        <Precision.AMP_BF16: 'amp-bf16'>
    """

    options_panel: ClassVar[str] = "Training options"
    json_optional: ClassVar[tuple[str, ...]] = (
        "audio_seconds", "num_frames", "lora_rank", "freeze", "grad_clip", "drop_outputs",
        "chunked_cross_entropy", "expandable_segments",
    )  # fmt: skip

    task: Task | None = option(None, "Task", "Training task, by default the model's own.")
    num_labels: int | None = option(None, "Labels", "Number of classes.", largest=1_000_000)
    seq_len: int = option(128, "Sequence length", "Tokens per sample.", largest=10_000_000)
    image_size: int | None = option(
        None, "Image size", "Height and width in pixels, by default the model's own.",
        largest=65_536,
    )  # fmt: skip
    precision: Precision = option(Precision.FP32, "Precision", "Precision of weights and compute.")
    optimizer: Optimizer = option(Optimizer.ADAMW, "Optimizer", "Optimizer.")
    optimizer_impl: OptimizerImpl = option(
        OptimizerImpl.DEFAULT, "Optimizer implementation", "Implementation in torch.optim."
    )
    zero_grad: ZeroGrad = option(
        ZeroGrad.BEFORE_FORWARD,
        "Call zero_grad()",
        "When zero_grad() is called (set to None).",
    )
    gradient_checkpointing: bool = option(
        False, "Gradient checkpointing", "Recompute activations in the backward pass."
    )
    gradient_accumulation: int = option(
        1, "Gradient accumulation steps", "Micro-batches per optimizer step.", largest=1_000_000
    )
    attention: Attention = option(Attention.SDPA, "Attention", "Attention of Hugging Face models.")
    dropout: bool = option(True, "Dropout", "Without dropout: eval mode, with gradients.")
    channels_last: bool = option(False, "Channels last", "NHWC format of images and weights.")
    use_cache: UseCache = option(
        UseCache.AUTO,
        "Generation cache",
        "Generation cache of Hugging Face decoders, by default as configured.",
    )
    loop: Loop = option(
        Loop.PLAIN, "Loop", "Training loop; the Trainer's drops a step's outputs early."
    )
    audio_seconds: int | None = option(
        None, "Audio length", "Seconds of audio per sample, by default the model's own.",
        largest=86_400,
    )  # fmt: skip
    num_frames: int | None = option(
        None, "Video frames", "Frames per video, by default the model's own.", largest=100_000
    )
    cudnn_benchmark: bool = option(
        False, "Benchmark of cuDNN", "Try all plans of a convolution (cudnn.benchmark)."
    )
    lora_rank: int | None = option(
        None,
        "LoRA rank",
        "Train adapters of this rank (peft) in place of the weights; by default all weights train.",
        largest=65_536,
    )
    freeze: str | None = option(
        None,
        "Frozen parameters",
        "Parameters that are not trained: names or patterns with *, separated by commas.",
        read=_read_patterns,
    )
    grad_clip: float | None = option(
        None,
        "Gradient clipping",
        "Largest norm of all gradients together; by default, and at 0, they are not clipped.",
        largest=1_000_000_000,
    )
    drop_outputs: bool = option(
        False,
        "Drop outputs early",
        "Keep no outputs beside the loss, as in loss = model(**batch).loss.",
    )
    chunked_cross_entropy: bool = option(
        False,
        "Chunked cross entropy",
        "Head and loss of language models in chunks of tokens, recomputed in the backward pass.",
    )
    expandable_segments: bool = option(
        False,
        "Expandable segments",
        "CUDA's allocator with segments that grow (PYTORCH_ALLOC_CONF=expandable_segments:True).",
    )
    compile: bool = False  # only what the validation of torch.compile sets: no option

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def frozen_patterns(self) -> tuple[str, ...]:
        """The patterns of names of parameters that are not trained."""
        return split_names(self.freeze or "")

    @property
    def keeps_outputs(self) -> bool:
        """Whether the outputs live on beside the loss, to the next forward pass's end."""
        return self.loop is Loop.PLAIN and not self.drop_outputs

    @property
    def releases_gradients(self) -> ZeroGrad:
        """Where in the step the gradients are released.

        It is where `zero_grad` says; its default is, in the Trainer's loop, that loop's own place.
        """
        default = self.zero_grad is ZeroGrad.BEFORE_FORWARD
        return ZeroGrad.AFTER_STEP if default and self.loop is Loop.TRAINER else self.zero_grad

    @classmethod
    def before_reading(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse keys that this version does not know: figures would be of another training.

        A whole document without `use_cache` is of version 0.1.0, which switched the cache off.

        Raises:
            UnknownChoice: A key is not a field.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise UnknownChoice("training option", key, known)
        is_whole = "compile" in values  # written always, and given by nobody
        return {"use_cache": UseCache.OFF, **values} if is_whole else values


def with_image_size(config: TrainingConfig) -> TrainingConfig:
    """Return the config with a size of images, where it leaves it open."""
    if config.image_size is not None:
        return config
    return dataclasses.replace(config, image_size=DEFAULT_IMAGE_SIZE)


def without_filled_in_size(config: TrainingConfig) -> TrainingConfig:
    """Return the config without a size of images that nobody gave and no image has."""
    reads_images = config.task is not None and "image_size" in config.task.lengths
    if reads_images or config.image_size != DEFAULT_IMAGE_SIZE:
        return config
    return dataclasses.replace(config, image_size=None)


def check_batch_size(value: object) -> int:
    """Return the batch size.

    Raises:
        InvalidValue: It is not a whole number from 1 to 65,535.
    """
    return check_count("batch size", value, MAX_BATCH_SIZE)
