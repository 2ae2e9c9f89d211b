"""What a live model is without the wrappers of one that is compiled or trained in parallel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy

from memorymark.errors import WorkloadError
from memorymark.placement.pretended_cuda import COMPILED


@dataclass(frozen=True)
class Unwrapped:
    """A model and what its wrappers mean for a step.

    Attributes:
        model: The model.
        beside_bytes: Memory that the wrappers hold on the device.
        notes: What is to be said of them, one sentence each.
    """

    model: nn.Module
    beside_bytes: int = 0
    notes: tuple[str, ...] = ()


def unwrapped(model: nn.Module) -> Unwrapped:
    """Return the model that is wrapped.

    Raises:
        WorkloadError: It is one of which a single process holds only a part, or several copies.
    """
    notes: list[str] = []
    held = 0
    while True:
        if hasattr(model, "_orig_mod"):
            notes.append(COMPILED)
            model = model._orig_mod
        elif isinstance(model, DataParallel):
            _refuse_several(model)
            model = model.module
        elif isinstance(model, DistributedDataParallel):
            buckets, more = _buckets_of(model)
            held += buckets
            notes.append(more)
            model = model.module
        else:
            break
    _refuse_sharded(model)
    _refuse_spread(model)
    return Unwrapped(model, held, tuple(notes))


def _refuse_several(model: DataParallel) -> None:
    count = len(model.device_ids)
    if count > 1:
        raise WorkloadError(
            f"DataParallel divides each batch among {count} GPUs, of which the first holds more "
            "than the others; that is not simulated. Give model.module and the batch of one GPU."
        )


def _buckets_of(model: DistributedDataParallel) -> tuple[int, str]:
    """Return the bytes of the buckets in which DDP gathers gradients, and what to say of them.

    They are as large as the gradients, unless these are views into them (PyTorch's documentation
    of DistributedDataParallel, gradient_as_bucket_view).
    """
    if model.gradient_as_bucket_view:
        return 0, "DistributedDataParallel was taken off: the batch is that of this process."
    held = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return held, (
        "DistributedDataParallel was taken off: the batch is that of this process, and its "
        "buckets, as large as the gradients, are counted as held."
    )


def _refuse_sharded(model: nn.Module) -> None:
    for part in model.modules():
        if type(part).__name__ in ("FullyShardedDataParallel", "DeepSpeedEngine"):
            raise WorkloadError(
                f"The model is in a {type(part).__name__}: this process holds only a part of it, "
                "and training on several GPUs is not covered. Give the model before it is wrapped."
            )
    if any(hasattr(parameter, "device_mesh") for parameter in model.parameters()):
        raise WorkloadError(
            "The model's parameters are divided among several devices (DTensor), and training on "
            "several GPUs is not covered. Give the model before it is divided."
        )


def _refuse_spread(model: nn.Module) -> None:
    if any(is_lazy(parameter) for parameter in model.parameters()):
        raise WorkloadError(
            "The model has parameters whose shapes are not known yet (nn.LazyLinear and the like). "
            "Call it once with a batch before it is checked."
        )
    devices = {str(x.device) for x in model.parameters() if not x.is_meta}
    if len(devices) > 1:
        raise WorkloadError(
            f"The model's parameters are on several devices ({', '.join(sorted(devices))}): how "
            "much each of them holds is not simulated. Give a model that is on one device."
        )
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise WorkloadError(
            "The model was made in torch.inference_mode(), and PyTorch does not train such "
            "weights. Make it outside."
        )


def device_of(model: nn.Module) -> torch.device | None:
    """Return where a model's weights are; None where it has none, or none with data."""
    return next((x.device for x in model.parameters() if not x.is_meta), None)
