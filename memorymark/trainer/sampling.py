"""What a model writes while it is trained: a few tokens after the evaluation's first words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memorymark.errors import MemoryMarkError
from memorymark.inference.choosing import Chooser
from memorymark.inference.generate import generate
from memorymark.inference.inference_step import Generation, InferenceStep
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.serving_config import ServingConfig
from memorymark.training.runtime import Runtime
from memorymark.workloads.readers import positions_of

_PROMPT = 16  # tokens
_TEMPERATURE = 0.8


def write_sample(
    model: nn.Module,
    prompt: Tensor,
    count: int,
    *,
    config: TrainingConfig,
    runtime: Runtime,
    seed: int,
) -> list[int]:
    """Return what a model writes, the prompt's tokens first; nothing of the training changes.

    Args:
        model: The model, in eval mode.
        prompt: Tokens to go on from, (tokens), of which the first 16 are read, or as many as half
            of the model's positions.
        count: Tokens to write; fewer where the model has not so many positions.
        config: The precision that it is trained in.
        runtime: Where it runs.
        seed: Of what is drawn.
    """
    most = positions_of(model.config)
    read = prompt[: _PROMPT if most is None else min(_PROMPT, most // 2)]
    room = count if most is None else min(count, most - len(read))
    written = read.tolist()
    if room < 1:
        return written
    plan = GenerationPlan(temperature=_TEMPERATURE, max_new_tokens=room)
    drawn = torch.Generator(device=runtime.device).manual_seed(seed)
    lengths = ServingConfig(context_tokens=len(read) + room, output_tokens=room)
    step = InferenceStep(model, lengths, Chooser(plan, drawn))
    ids = read[None].to(runtime.device)

    def take(token: int, generation: Generation) -> None:
        written.append(token)

    with runtime.autocast(config.precision):
        generate(
            step, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, most=room, read=int,
            on_token=take,
        )  # fmt: skip
    return written


def can_write(model: nn.Module) -> bool:
    """Return whether a model keeps a cache with which it writes."""
    try:
        InferenceStep(model, ServingConfig())
    except (MemoryMarkError, AttributeError, TypeError, ValueError):
        return False
    return True
