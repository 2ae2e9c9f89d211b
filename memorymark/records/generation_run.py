"""A generation that was run, and what it came to. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from memorymark.records.codec import Record, same
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.serving_config import ServingConfig
from memorymark.records.trial import Target


class WeightsFrom(StrEnum):
    """Where weights come from."""

    FOLDER = "folder"
    HUB = "hub"
    RANDOM = "random"


class Ending(StrEnum):
    """Why no more was written."""

    END = "end-of-sequence"
    LENGTH = "max-new-tokens"
    STOPPED = "stopped"
    OUT_OF_MEMORY = "out-of-memory"
    ANSWERED = "answered"  # of a classifier, which writes nothing


@dataclass(frozen=True)
class Label(Record):
    """A class that an image may be of.

    Attributes:
        name: Its name in the model's configuration.
        share: Its probability.
    """

    name: str
    share: float


@dataclass(frozen=True)
class GenerationRun(Record):
    """One generation on one device, and what it came to.

    Attributes:
        model: The workload's name.
        config: How the model was run; its context holds what was read and what could be written.
        plan: What was read, and how what is written was chosen.
        target: What it ran on.
        weights_from: Where the weights came from; of random ones the words mean nothing.
        text: What was written; None of a classifier.
        tokens: The numbers of the tokens that were written.
        labels: The likeliest classes, of a classifier.
        stopped_by: Why no more was written.
        prompt_tokens: Tokens that were read before the first one was written, placeholders of an
            image among them; None where no text was read.
        load_seconds: Building the model, reading its weights and bringing them to the device.
        first_token_seconds: From the inputs on the device to the first token of the text; of a
            classifier to its answer.
        prefill_tokens_per_second: Rate at which the prompt was read; None without a prompt.
        decode_seconds: All tokens after the first, without handing the text on.
        decode_tokens_per_second: Rate at which they were written; None where there was but one.
        weights_bytes: Bytes of parameters and buffers.
        cache_bytes: Bytes of keys and values at the end; None of a classifier.
        predicted_peak_bytes: Most bytes of live tensors for what was written, simulated before.
        predicted_most_bytes: The same, had all tokens been written that were asked for.
        peak_allocated_bytes: Most bytes of live tensors, measured; on a CPU counted storage by
            storage, on CUDA by its allocator's statistics.
        peak_reserved_bytes: Most bytes that the caching allocator held; None where there is none.
        findings: What to know of the result, one sentence each.
        assumptions: What the simulation answered without knowing, one sentence each.
        error: The sentence of what ended it early.
        elapsed_seconds: Seconds that all of it took, the simulation included.
        blend_weights_from: Where the weights of a second model came from; None without one.
        blend_shares: Of each token that was written, the share that the second model has in its
            probability: a p_B / ((1 - a) p_A + a p_B), a being the second model's weight.
        software: Versions of what ran.
        created_at: When it began, in ISO 8601, UTC.
    """

    json_keys: ClassVar = {
        **same("model", "config", "plan", "target"),
        "device": "target.name",
        "source": "target.source",
        **same(
            "weights_from", "text", "tokens", "labels", "stopped_by", "prompt_tokens",
            "new_tokens", "load_seconds", "first_token_seconds", "prefill_tokens_per_second",
            "decode_seconds", "decode_tokens_per_second", "weights_bytes", "cache_bytes",
            "predicted_peak_bytes", "predicted_most_bytes", "peak_allocated_bytes",
            "peak_reserved_bytes", "prediction_error",
        ),
        **same("blend_weights_from", "mean_blend_share"),
        "blend_shares": lambda run: list(run.blend_shares) or None,
        "capacity_bytes": "target.capacity_bytes",
        **same(
            "findings", "assumptions", "error", "elapsed_seconds", "software", "created_at",
        ),
    }  # fmt: skip

    json_optional: ClassVar = ("blend_weights_from", "mean_blend_share", "blend_shares")

    model: str
    config: ServingConfig
    plan: GenerationPlan
    target: Target
    weights_from: WeightsFrom
    stopped_by: Ending
    weights_bytes: int
    text: str | None = None
    tokens: tuple[int, ...] = ()
    labels: tuple[Label, ...] = ()
    prompt_tokens: int | None = None
    load_seconds: float | None = None
    first_token_seconds: float | None = None
    prefill_tokens_per_second: float | None = None
    decode_seconds: float | None = None
    decode_tokens_per_second: float | None = None
    cache_bytes: int | None = None
    predicted_peak_bytes: int | None = None
    predicted_most_bytes: int | None = None
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    findings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    error: str | None = None
    blend_weights_from: WeightsFrom | None = None
    blend_shares: tuple[float, ...] = ()
    elapsed_seconds: float | None = None
    software: dict[str, str] = field(default_factory=dict)
    created_at: str = ""

    @property
    def new_tokens(self) -> int:
        """How many tokens were written."""
        return len(self.tokens)

    @property
    def mean_blend_share(self) -> float | None:
        """The mean share of a second model in the tokens' probabilities; None without any."""
        shares = self.blend_shares
        return sum(shares) / len(shares) if shares else None

    @property
    def prediction_error(self) -> float | None:
        """By which share of the measured peak the prediction was too high; None if unknown."""
        if self.predicted_peak_bytes is None or not self.peak_allocated_bytes:
            return None
        return self.predicted_peak_bytes / self.peak_allocated_bytes - 1
