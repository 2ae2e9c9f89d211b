"""The loss of a batch, checked: what cannot be trained with gets a sentence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from memorymark.errors import WorkloadError
from memorymark.workloads.base import Batch, Workload
from memorymark.workloads.own_training import describe


def loss_of(workload: Workload, model: nn.Module, batch: Batch) -> tuple[Tensor, Any]:
    """Return the loss of a batch, and what lives beside it.

    Raises:
        WorkloadError: It is no tensor with one element, or has no gradient although one is wanted.
    """
    returned = workload.forward(model, batch)
    if not (isinstance(returned, tuple) and len(returned) == 2):
        raise WorkloadError(
            f"forward of {workload.name!r} returned {describe(returned)}; "
            "accepted: (loss, outputs)."
        )
    loss, outputs = returned
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise WorkloadError(
            f"The loss of {workload.name!r} returned {describe(loss)}; "
            "accepted: a tensor with one element, or (loss, outputs)."
        )
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise WorkloadError(_without_gradient(workload.name, model, loss))
    return loss, outputs


def _without_gradient(name: str, model: nn.Module, loss: Tensor) -> str:
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return (
            f"No parameter of {name!r} requires a gradient, so that there is nothing to train. "
            "Leave requires_grad on for what is trained."
        )
    if not (loss.is_floating_point() or loss.is_complex()):
        why = f"it is of type {str(loss.dtype).removeprefix('torch.')}"
    else:
        why = "it is detached, computed under no_grad, or made of no trainable parameter"
    return (
        f"The loss of {name!r} has no gradient: {why}. Return the tensor on which the training "
        "loop calls backward()."
    )
