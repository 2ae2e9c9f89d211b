"""How a model generates: one frozen record and its choices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from memorymark.errors import InvalidValue
from memorymark.records.codec import Record
from memorymark.records.config import Attention, Task
from memorymark.records.option import check_options, option

GENERATING = (Task.CAUSAL_LM, Task.IMAGE_TEXT_TO_TEXT, Task.SEQ2SEQ_LM, Task.SPEECH_SEQ2SEQ)
"""Tasks whose models write text, the usual one first."""
MAX_SESSIONS = 65_535
_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,4}(\.[0-9a-z]{1,12}){0,3}\Z")


def _read_version(text: object) -> str | None:
    """Return the version of a package, as text.

    Raises:
        InvalidValue: It is none.
    """
    if not text:
        return None
    if not isinstance(text, str) or not _VERSION.match(text):  # a widget may be forged
        raise InvalidValue("transformers version", text, "a version such as 4.44 or 4.44.2")
    return text


class WeightFormat(StrEnum):
    """Number formats of weights; int8 and int4 are of the weights alone, computed in bf16."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    INT4 = "int4"

    @property
    def is_quantized(self) -> bool:
        """Whether the weights of linear layers are of another format than what is computed."""
        return self in (WeightFormat.INT8, WeightFormat.INT4)


class CacheKind(StrEnum):
    """Caches of keys and values, by transformers' own classes.

    `dynamic` grows with each token; layers of a sliding window keep no more than the window.
    `static` has room for context and output from the beginning. `quantized` keeps all but the
    newest tokens in 4 bits. `offloaded` keeps one layer at a time on the device: CUDA alone.
    """

    DYNAMIC = "dynamic"
    STATIC = "static"
    QUANTIZED = "quantized"
    OFFLOADED = "offloaded"


class Policy(StrEnum):
    """Where the caches of sessions that wait are kept.

    `hold` keeps all of them on the device. `swap` moves the one that was used least recently to
    the host's memory where there is no room for the next.
    """

    HOLD = "hold"
    SWAP = "swap"


@dataclass(frozen=True)
class ServingConfig(Record):
    """How a model generates. The number of sessions is not part of it: it is what is looked for.

    Names of choices are accepted as plain strings.

    Raises:
        UnknownChoice: A name is not on its list.
        InvalidValue: A number is out of range.

    Example:
        >>> ServingConfig(weights="fp16", context_tokens=4096).policy
        <Policy.HOLD: 'hold'>
    """

    options_panel: ClassVar[str] = "Inference options"

    task: Task | None = option(None, "Task", "What the model does, by default its own task.")
    weights: WeightFormat = option(
        WeightFormat.BF16, "Precision", "Format of the weights.", flag="--precision"
    )
    context_tokens: int = option(
        2048, "Context", "Tokens of a session at its end, new ones included.",
        largest=10_000_000, flag="--context",
    )  # fmt: skip
    output_tokens: int = option(
        16, "New tokens", "Tokens that a session generates.", largest=1_000_000,
        flag="--max-new-tokens",
    )  # fmt: skip
    batch_size: int = option(1, "Batch", "Sequences in one session.", largest=65_535)
    cache: CacheKind = option(CacheKind.DYNAMIC, "Cache", "Cache of keys and values.")
    attention: Attention = option(Attention.SDPA, "Attention", "Attention of Hugging Face models.")
    compiled: bool = option(
        False, "Compile", "Compile the decode step (torch.compile).", flag="--compile"
    )
    expandable_segments: bool = option(
        True, "Expandable segments",
        "Segments of CUDA's allocator grow, which PyTorch leaves off: more long prompts are held "
        "with it, and fewer short contexts or many new tokens. The result has both counts.",
        flag="--no-expandable-segments",
        flag_help="Segments of CUDA's allocator do not grow, which is PyTorch's own default: fewer "
        "long prompts are held with it, and more short contexts or many new tokens.",
    )  # fmt: skip
    transformers_version: str | None = option(
        None, "transformers",
        "Version that generates, to be simulated: before 4.48, and more so before 4.45, it held "
        "more. By default the installed one.",
        flag="--transformers", read=_read_version,
    )  # fmt: skip
    policy: Policy = option(Policy.HOLD, "Policy", "Where caches of waiting sessions are kept.")
    image_size: int | None = option(
        None, "Image size", "Height and width in pixels, by default the model's own.",
        largest=65_536,
    )  # fmt: skip
    audio_seconds: int | None = option(
        None, "Audio length", "Seconds of audio, by default the model's own.", largest=86_400
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.output_tokens >= self.context_tokens:
            accepted = f"fewer than the context's {self.context_tokens:,}, which holds them too"
            raise InvalidValue("max new tokens", self.output_tokens, accepted)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of a session's prompt."""
        return self.context_tokens - self.output_tokens

    def is_before(self, major: int, minor: int) -> bool:
        """Return whether an older version of transformers generates than this one."""
        if self.transformers_version is None:
            return False
        given = self.transformers_version.split(".")
        return (int(given[0]), int(given[1])) < (major, minor)
