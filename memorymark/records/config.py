"""How a model is trained: one frozen record and its choices."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from memorymark.errors import InvalidValue, UnknownChoice
from memorymark.records.codec import Record

MAX_BATCH_SIZE = 65_535
_MAX_SEQ_LEN = 10_000_000
_MAX_IMAGE_SIZE = 65_536
_MAX_LABELS = 10_000_000
_MAX_ACCUMULATION = 1_000_000


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


class Attention(StrEnum):
    """Attention implementations, by the names of Hugging Face transformers."""

    SDPA = "sdpa"
    FLASH = "flash"
    EAGER = "eager"


class Task(StrEnum):
    """What the model is trained for; chooses the Auto class and the shape of the labels."""

    SEQUENCE_CLASSIFICATION = "sequence-classification"
    TOKEN_CLASSIFICATION = "token-classification"
    QUESTION_ANSWERING = "question-answering"
    MULTIPLE_CHOICE = "multiple-choice"
    CAUSAL_LM = "causal-lm"
    MASKED_LM = "masked-lm"
    SEQ2SEQ_LM = "seq2seq-lm"
    IMAGE_CLASSIFICATION = "image-classification"


_E = TypeVar("_E", bound=StrEnum)


def parse_choice(kind: type[_E], what: str, given: str | _E) -> _E:
    """Turn a name into a member of an enum.

    Raises:
        UnknownChoice: The name is not among the members; the error names the nearest one.
    """
    try:
        return kind(str(given))
    except ValueError:
        raise UnknownChoice(what, str(given), [member.value for member in kind]) from None


@dataclass(frozen=True)
class TrainingConfig(Record):
    """How a workload is trained. The batch size is not part of it: it is what is looked for.

    Enum fields accept their names as plain strings.

    Attributes:
        task: What the model is trained for; None leaves it to the workload.
        num_labels: Classes of a classification head; None leaves it to the workload.
        seq_len: Tokens per sample of text models.
        image_size: Height and width, in pixels, of image models.
        precision: Number formats of weights and arithmetic.
        optimizer: The optimizer whose states and temporaries are counted.
        optimizer_impl: Which of torch.optim's implementations steps.
        zero_grad: Where in the step gradients are released.
        gradient_checkpointing: Recompute activations in the backward pass.
        gradient_accumulation: Forward and backward passes per optimizer step; the effective
            batch is that many times the batch size.
        attention: Attention implementation of Hugging Face models.
        dropout: Train with dropout; False trains in eval mode, with gradients.
        channels_last: Keep images and convolution weights in NHWC order.
        compile: Run the model through torch.compile.

    Raises:
        UnknownChoice: A name is not on its list.
        InvalidValue: A number is out of range.

    Example:
        >>> TrainingConfig(precision="amp-bf16", seq_len=512).precision
        <Precision.AMP_BF16: 'amp-bf16'>
    """

    task: Task | None = None
    num_labels: int | None = None
    seq_len: int = 128
    image_size: int = 224
    precision: Precision = Precision.FP32
    optimizer: Optimizer = Optimizer.ADAMW
    optimizer_impl: OptimizerImpl = OptimizerImpl.DEFAULT
    zero_grad: ZeroGrad = ZeroGrad.BEFORE_FORWARD
    gradient_checkpointing: bool = False
    gradient_accumulation: int = 1
    attention: Attention = Attention.SDPA
    dropout: bool = True
    channels_last: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        for field, kind in _CHOICES.items():
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, parse_choice(kind, field.replace("_", " "), value))
        for field, (largest, optional) in _COUNTS.items():
            value = getattr(self, field)
            if value is None and optional:
                continue
            check_count(field.replace("_", " "), value, largest)

    @classmethod
    def before_reading(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse keys that this version does not know: figures would be of another training.

        Raises:
            UnknownChoice: A key is not a field.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise UnknownChoice("training option", key, known)
        return values


def check_count(what: str, value: object, largest: int, smallest: int = 1) -> int:
    """Return a whole number within its range.

    Raises:
        InvalidValue: It is not a whole number, or out of range.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not smallest <= value <= largest:
        raise InvalidValue(what, value, f"a whole number from {smallest} to {largest}")
    return value


def check_batch_size(value: object) -> int:
    """Return the batch size.

    Raises:
        InvalidValue: It is not a whole number from 1 to 65,535.
    """
    return check_count("batch size", value, MAX_BATCH_SIZE)


_CHOICES: dict[str, type[StrEnum]] = {
    "task": Task,
    "precision": Precision,
    "optimizer": Optimizer,
    "optimizer_impl": OptimizerImpl,
    "zero_grad": ZeroGrad,
    "attention": Attention,
}
_COUNTS: dict[str, tuple[int, bool]] = {
    "num_labels": (_MAX_LABELS, True),
    "seq_len": (_MAX_SEQ_LEN, False),
    "image_size": (_MAX_IMAGE_SIZE, False),
    "gradient_accumulation": (_MAX_ACCUMULATION, False),
}
