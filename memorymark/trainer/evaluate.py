"""The mean loss over samples that are not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from memorymark.records.config import TrainingConfig
from memorymark.trainer.fed_workload import Arrays, as_tensors
from memorymark.training.runtime import Runtime
from memorymark.workloads.base import Workload
from memorymark.workloads.build import match_batch


def spread(count: int, batch_size: int, most_batches: int) -> list[range]:
    """Return the samples of each batch: all of them, or batches evenly spread.

    Example:
        >>> spread(10, 4, 5), spread(100, 4, 2)
        ([range(0, 4), range(4, 8), range(8, 10)], [range(0, 4), range(48, 52)])
    """
    batches = [range(at, min(at + batch_size, count)) for at in range(0, count, batch_size)]
    if len(batches) <= most_batches:
        return batches
    return [batches[index * len(batches) // most_batches] for index in range(most_batches)]


def batch_loss(
    workload: Workload, model: nn.Module, batch: Arrays, config: TrainingConfig, runtime: Runtime
) -> float:
    """Return the mean loss of one batch, without gradients.

    Args:
        workload: Whose loss it is.
        model: The model, in eval mode.
        batch: The batch, on the host.
        config: The precision and the format of the weights.
        runtime: Where it runs.
    """
    tensors = {name: each.to(runtime.device) for name, each in as_tensors(batch).items()}
    with torch.no_grad(), runtime.autocast(config.precision):
        loss, _ = workload.forward(model, match_batch(tensors, config))
    return float(loss)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode, and each of its parts back into the mode that it had."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def mean_loss(losses: Sequence[float], sizes: Sequence[int]) -> float:
    """Return the mean of batches' losses by their numbers of samples."""
    total = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
    return total / sum(sizes)
