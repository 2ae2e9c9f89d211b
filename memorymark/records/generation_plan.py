"""What one generation reads and writes: its options. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memorymark.errors import UsageError
from memorymark.records.codec import Record
from memorymark.records.option import check_options, option

SERVED = ("task", "weights", "cache", "attention", "compiled")
"""The fields of ServingConfig that a generation takes; its lengths come from what it reads."""

HALF = 0.5
"""The share of a second model where none is given."""

GENERATION_OPTIONS = (
    "max_new_tokens", "temperature", "top_k", "top_p", "seed", "prompt_tokens", "random_weights",
    "blend", "blend_share",
)  # fmt: skip
"""How what is written is chosen, and what of it is random; the others are what is read."""


@dataclass(frozen=True)
class GenerationPlan(Record):
    """What is read, and how what is written is chosen.

    Raises:
        InvalidValue: A number is out of range.
        UsageError: A second model has a share, and is not named.

    Example:
        >>> GenerationPlan(prompt="Once", temperature=0.7).max_new_tokens
        64
    """

    options_panel: ClassVar[str] = "Generation options"

    prompt: str | None = option(None, "Prompt", "Text that the model goes on from, or answers.")
    image: str | None = option(None, "Image", "File of an image that the model looks at.")
    audio: str | None = option(None, "Sound", "File of a sound that the model writes down.")
    prompt_tokens: int = option(
        32, "Random prompt", "Tokens of the random prompt of a model without a tokenizer.",
        largest=10_000_000,
    )  # fmt: skip
    max_new_tokens: int = option(
        64, "New tokens", "Tokens that are written at most.", largest=1_000_000
    )
    temperature: float = option(
        0.0, "Temperature", "0 takes the likeliest token; higher ones draw more freely.",
        largest=100,
    )  # fmt: skip
    top_k: int | None = option(
        None, "Top k", "Draw among so many of the likeliest tokens; by default among all.",
        largest=10_000_000,
    )  # fmt: skip
    top_p: float | None = option(
        None,
        "Top p",
        "Draw among the likeliest tokens that have this share together, at least one.",
        largest=1,
    )
    seed: int = option(1, "Seed", "Seed of what is drawn.", largest=2**31 - 1)
    random_weights: bool = option(
        False, "Random weights", "Take random weights even where the model comes with its own."
    )
    blend: str | None = option(
        None,
        "Second model",
        "Second model of the same vocabulary: tokens are chosen by the two models' probabilities, "
        "mixed.",
    )
    blend_share: float = option(
        HALF,
        "Share of the second model",
        "Weight of the second model's probabilities: 0 is the first model alone, 1 the second.",
        largest=1,
    )

    def __post_init__(self) -> None:
        check_options(self)
        object.__setattr__(self, "blend", (self.blend or "").strip() or None)
        if self.blend is None and self.blend_share != HALF:
            raise UsageError(
                f"The share of a second model is {self.blend_share}, and there is none. Name one "
                "with --blend MODEL, or leave the share out."
            )
