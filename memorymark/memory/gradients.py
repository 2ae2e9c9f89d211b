"""What a backward pass left in `.grad`."""

from __future__ import annotations

import math

import torch
from torch import nn

from memorymark.records.trial import GradientCheck

_NAMED = 10


def check_gradients(model: nn.Module) -> GradientCheck:
    """Compare the gradients with the trainable parameters.

    Takes no memory beyond a few bytes, so that it can run while a peak is being measured.
    """
    trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    gradients = [p.grad for _, p in trainable if p.grad is not None]
    missing = [name for name, p in trainable if p.grad is None]
    return GradientCheck(
        trainable_parameters=len(trainable),
        with_gradient=len(gradients),
        finite=_all_finite(gradients),
        trainable_bytes=sum(p.nbytes for _, p in trainable),
        gradient_bytes=sum(gradient.nbytes for gradient in gradients),
        missing=tuple(missing[:_NAMED]),
    )


def _all_finite(gradients: list[torch.Tensor]) -> bool | None:
    if any(gradient.is_meta for gradient in gradients):
        return None
    # The largest magnitude is a reduction: unlike isfinite() it makes no mask of the same shape.
    largest = (float(torch.linalg.vector_norm(g, math.inf)) for g in gradients if g.numel())
    return all(math.isfinite(value) for value in largest)
