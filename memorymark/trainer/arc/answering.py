"""Answers to test grids: greedy decoding by THE inference step, among the tokens of grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from memorymark.data.arc.arc_tasks import Grid
from memorymark.data.arc.grid_tokens import COLOURS, GRID_END, ROW_END, begins_a_grid, grid_of
from memorymark.data.arc.leave_one_out import Prompt
from memorymark.inference.choosing import Chooser
from memorymark.inference.generate import generate
from memorymark.inference.inference_step import InferenceStep
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.serving_config import ServingConfig
from memorymark.trainer.evaluate import evaluating
from memorymark.training.runtime import Runtime

WRITTEN = (*range(COLOURS), ROW_END, GRID_END)
"""Tokens that an answer may have."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model wrote.

    Attributes:
        grid: The grid; None where it is none.
        tokens: How many tokens were written.
    """

    grid: Grid | None
    tokens: int


def answer(
    model: nn.Module,
    prompt: Prompt,
    config: TrainingConfig,
    runtime: Runtime,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Answer:
    """Return what a model writes after a prompt.

    Always the likeliest of the tokens that a grid can have, in one attempt; it ends with the
    grid's end, and as soon as what is written can be no grid any more.

    Args:
        model: The model, on the runtime's device.
        prompt: What it reads.
        config: The precision that it computes in.
        runtime: Where it runs.
        is_stopped: Asked before each token; without an answer it ends there.

    Raises:
        WorkloadError: What the model says of the next token are no numbers.
    """
    ids = torch.from_numpy(prompt.tokens)[None].to(runtime.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    serving = ServingConfig(
        context_tokens=len(prompt.tokens) + prompt.room, output_tokens=prompt.room
    )
    step = InferenceStep(model, serving, _among_grids(model, runtime.device))
    written: list[int] = []
    with evaluating(model), runtime.autocast(config.precision):
        generate(
            step, inputs, most=prompt.room, read=int, ends=(GRID_END,),
            on_token=lambda token, _: written.append(token),
            is_stopped=lambda: is_stopped() or not begins_a_grid(written),
        )  # fmt: skip
    return Answer(grid_of(written), len(written))


def is_right(found: Answer, expected: Grid) -> bool:
    """Return whether an answer is right to the last cell."""
    return found.grid is not None and np.array_equal(found.grid, expected)


def _among_grids(model: nn.Module, device: torch.device) -> Chooser:
    size = model.get_output_embeddings().weight.shape[0]
    refused = torch.ones(size, dtype=torch.bool, device=device)
    refused[list(WRITTEN)] = False
    return Chooser(GenerationPlan(), refused=refused)
