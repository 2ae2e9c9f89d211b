"""The loop of a generation: a prompt is read, and tokens are written one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from memorymark.errors import WorkloadError
from memorymark.inference.blended_step import BlendedStep
from memorymark.inference.choosing import NO_TOKEN
from memorymark.inference.inference_step import Generation, InferenceStep
from memorymark.records.generation_run import Ending

_NO_NUMBERS = (
    "The model's logits of the next token hold NaN or infinity, so that no token is the likeliest. "
    "Its weights are damaged, or its values too large for their format: try the precision bf16 or "
    "fp32, or other weights."
)


def generate(
    step: InferenceStep | BlendedStep,
    inputs: Mapping[str, Tensor],
    *,
    most: int,
    read: Callable[[Tensor], int],
    on_token: Callable[[int, Generation], None],
    opening: int = 0,
    ends: Collection[int] = (),
    is_stopped: Callable[[], bool] = lambda: False,
) -> Ending:
    """Read a prompt and write tokens, until the text ends or is long enough.

    Args:
        step: The model that generates, or two of them, with what chooses the tokens.
        inputs: What its processor makes, on its device.
        most: Tokens that are written at most.
        read: Returns a token's number; waits for the device.
        on_token: Called with each token of the text as it is made, and the state after it.
        opening: How many tokens stand before the text and are not handed on.
        ends: Tokens that end the text; they are handed on too.
        is_stopped: Asked before each token; the text ends where it says so.

    Raises:
        WorkloadError: What the model says of the next token are no numbers.
    """
    generation: Any = step.prefill(inputs)
    for made in range(1, opening + most + 1):
        token = read(generation.token)
        if token == NO_TOKEN:
            raise WorkloadError(_NO_NUMBERS)
        if made > opening:
            on_token(token, generation)
            if token in ends:
                return Ending.END
        if made == opening + most:
            break
        if is_stopped():
            return Ending.STOPPED
        step.decode(generation)
    return Ending.LENGTH


@torch.no_grad()
def classify(model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return the shares of the classes that an image may be of, (batch_size, classes), in fp32."""
    outputs: Any = model(**inputs)
    return torch.softmax(outputs.logits.float(), dim=-1)
