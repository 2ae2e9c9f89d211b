"""What sessions run: a workload that generates, how it does, and how its sessions take turns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from memorymark.errors import BatchTooLong, UnknownChoice, UsageError, quoted
from memorymark.records.config import Precision, Task, TrainingConfig
from memorymark.records.serving_config import GENERATING, ServingConfig, WeightFormat
from memorymark.records.session_run import SessionPlan
from memorymark.workloads.build import match_batch
from memorymark.workloads.lengths import text_positions
from memorymark.workloads.tasks import supported_tasks

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload

_PRECISIONS = {
    WeightFormat.FP32: Precision.FP32,
    WeightFormat.FP16: Precision.FP16,
    WeightFormat.BF16: Precision.BF16,
    # Quantized after the model was built: everything else is computed in this format.
    WeightFormat.INT8: Precision.BF16,
    WeightFormat.INT4: Precision.BF16,
}
# What a batch holds that a prompt does not: it is what the model is to write.
WRITTEN = ("labels", "decoder_input_ids", "decoder_attention_mask")


@dataclass(frozen=True)
class ServingSpec:
    """One workload whose sessions take turns.

    Attributes:
        workload: What generates.
        config: How it generates; the task that it leaves open is filled in.
        plan: How many sessions, and how they take turns.
        steer: Given the hidden state at a pause, (batch_size, tokens, width), returns what goes on
            in its place.
        built_as: How the model is built, and its prompts are made.

    Raises:
        UnknownChoice: The model does not generate, or not in this format.
        BatchTooLong: The model has fewer positions than a session has tokens.
        UsageError: The model cannot be run in this way.
    """

    workload: Workload
    config: ServingConfig
    plan: SessionPlan
    steer: Callable[[Tensor], Tensor] | None = dataclasses.field(default=None, compare=False)
    built_as: TrainingConfig = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.steer is not None and self.plan.pause_layer is None:
            raise UsageError(
                "A function that steers is called at the pause inside the model, and the plan has "
                "none: give SessionPlan(pause_layer=N)."
            )
        hf_config = getattr(self.workload, "hf_config", None)
        if hf_config is not None:
            _check_context(hf_config, self.config, self.workload.name)
        model_as = built_as(self.workload, self.config)
        filled_in = dataclasses.replace(self.config, task=model_as.task)
        object.__setattr__(self, "built_as", model_as)
        object.__setattr__(self, "config", filled_in)

    def make_prompt(self, device: torch.device) -> dict[str, Tensor]:
        """Return one session's inputs on a device, at random: what its processor would make."""
        with torch.device(device):
            batch: Mapping[str, Tensor] = self.workload.batch(self.config.batch_size, self.built_as)
        prompt = {name: x.to(device) for name, x in batch.items() if name not in WRITTEN}
        return match_batch(prompt, self.built_as)


def _check_context(hf_config: Any, config: ServingConfig, name: str) -> None:
    """Compare what a session reads and writes with the positions that the model has."""
    limit, tokens, beside = text_positions(hf_config), config.context_tokens, 0
    what, less = f"a context of {tokens:,} tokens", "the context (--context)"
    if getattr(hf_config, "is_encoder_decoder", False):
        limit = getattr(hf_config, "max_target_positions", None) or limit
        tokens, beside = 1 + config.output_tokens, 1
        what = f"{config.output_tokens:,} new tokens and the one before them"
        less = "the new tokens (--max-new-tokens)"
    if limit is not None and tokens > limit:
        raise BatchTooLong(
            f"{quoted(name)} has {limit:,} positions, too few for {what}. Set {less} to "
            f"{limit - beside:,} or less."
        )


def built_as(
    workload: Workload, config: ServingConfig, among: Sequence[Task] = GENERATING
) -> TrainingConfig:
    """Return the training whose model and inputs those of a session are.

    Without a task it is the model's own, where that is among them, else the first that it has.

    Args:
        workload: What is run.
        config: How it is run.
        among: The tasks that are accepted.

    Raises:
        UnknownChoice: The model does not have the task that was given.
        UsageError: It has none of them, or cannot be run in this way.
    """
    given = TrainingConfig(
        task=config.task, seq_len=config.prompt_tokens, precision=_PRECISIONS[config.weights],
        attention=config.attention, dropout=False, image_size=config.image_size,
        audio_seconds=config.audio_seconds, expandable_segments=config.expandable_segments,
    )  # fmt: skip
    if config.task is not None:
        if config.task not in among:
            raise UnknownChoice("task", config.task.value, [str(task) for task in among])
        return _heard(workload.describe(given), config)
    own = workload.describe(given)
    if own.task in among:
        return _heard(own, config)
    for task in among:
        try:
            return _heard(workload.describe(dataclasses.replace(given, task=task)), config)
        except UnknownChoice:
            continue
    is_for = "" if own.task is None else f": it is a model for {own.task}"
    tasks = ", ".join(str(task) for task in among)
    more = "" if Task.IMAGE_CLASSIFICATION not in among else ", and names no images"
    raise UsageError(
        f"{quoted(workload.name)} writes no text{more}{is_for}. Give a model for one of {tasks}; "
        "`memorymark models` lists the tasks of those that it has."
    )


def _heard(described: TrainingConfig, config: ServingConfig) -> TrainingConfig:
    """Return how a model is built, whose text is what it writes where it reads no text."""
    if described.task is not Task.SPEECH_SEQ2SEQ:
        return described
    return dataclasses.replace(described, seq_len=config.output_tokens)


def encoder_note(workload: Workload, task: Task | None) -> str | None:
    """Say of an encoder that it is asked to write; None of a decoder.

    Encoders can be built as decoders: their configuration says whether they are meant to be.
    """
    hf_config = getattr(workload, "hf_config", None)
    if hf_config is None or task is not Task.CAUSAL_LM or hf_config.is_encoder_decoder:
        return None
    is_built_as_one = getattr(hf_config, "is_decoder", True)
    if is_built_as_one or Task.MASKED_LM not in supported_tasks(hf_config):
        return None
    return (
        f"{quoted(workload.name)} is an encoder (is_decoder is off in its configuration), with no "
        "head that was trained to write: its memory and seconds are those of a decoder of its "
        "shape, and what it writes means nothing."
    )
