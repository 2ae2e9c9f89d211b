"""Losses of classes that transformers leaves without one, as their papers have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Weight of the mean error: Eigen et al. 2014, arXiv 1406.2283, equation 4.
_MEAN_WEIGHT = 0.5
_SMALLEST_DEPTH = 1e-3


def split(batch: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what the model takes of a batch, and the targets of a loss that it has not."""
    targets = {name: value for name, value in batch.items() if name in _LOSSES}
    return {name: value for name, value in batch.items() if name not in _LOSSES}, targets


def loss(outputs: Any, targets: Mapping[str, Tensor]) -> Tensor:
    """Return the loss of a model's outputs for the targets of its batch."""
    ((name, target),) = targets.items()
    return _LOSSES[name](outputs, target)


def mask_loss(outputs: Any, target: Tensor) -> Tensor:
    """Return binary cross entropy plus dice loss of predicted masks.

    Args:
        outputs: Holds pred_masks, (batch_size, objects, masks, height, width), as logits.
        target: Masks of that shape, 0 or 1.
    """
    logits = outputs.pred_masks
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target)
    masks = logits.sigmoid()
    overlap = 2 * (masks * target).sum(dim=(-2, -1))
    total = masks.sum(dim=(-2, -1)) + target.sum(dim=(-2, -1))
    return cross_entropy + (1 - (overlap + 1) / (total + 1)).mean()


def depth_loss(outputs: Any, target: Tensor) -> Tensor:
    """Return the scale-invariant error of the logarithms of depths.

    Args:
        outputs: Holds predicted_depth, (batch_size, height, width).
        target: Depths, (batch_size, height, width), above zero.
    """
    predicted = outputs.predicted_depth
    if predicted.shape[-2:] != target.shape[-2:]:
        predicted = functional.interpolate(
            predicted[:, None], size=target.shape[-2:], mode="bilinear", align_corners=False
        )[:, 0]
    error = torch.log(target) - torch.log(predicted.clamp(min=_SMALLEST_DEPTH))
    return (error.square().mean() - _MEAN_WEIGHT * error.mean().square()).sqrt()


# By the name under which a batch holds the targets.
_LOSSES = {"target_masks": mask_loss, "target_depths": depth_loss}
