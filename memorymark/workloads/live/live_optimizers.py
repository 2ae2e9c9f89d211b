"""The optimizers of a running script: found among what was given, and copied onto a device."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from memorymark.placement.moving import Twins
from memorymark.workloads.live.batch_growth import with_parts


def needs_closure(optimizer: Optimizer) -> bool:
    """Return whether an optimizer asks for the loss again and again, as LBFGS does."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def without_wrappers(value: Any) -> Any:
    """Return optimizers without the wrapper that accelerate puts around each."""
    inner = getattr(value, "optimizer", None)
    if isinstance(inner, Optimizer):
        return inner
    if isinstance(value, Optimizer):
        return value
    return with_parts(value, lambda key, each: without_wrappers(each))


def optimizers_in(value: Any) -> Iterable[Optimizer]:
    """Yield the optimizers in a container, or one by itself."""
    if isinstance(value, Optimizer):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from optimizers_in(each)


class Allocated(Twins):
    """Makes tensors in the usual way, so that a simulation sees them as allocated."""

    def of(self, tensor: Tensor) -> Tensor:
        """Return a tensor like this one, newly made on the device."""
        if tensor.device.type == "cpu" and tensor.numel() == 1:
            return tensor.detach().clone()  # a counter of steps stays on the host
        if tensor.layout is not torch.strided:
            return super().of(tensor)
        return torch.empty_strided(
            tensor.shape, tensor.stride(), dtype=tensor.dtype, device=self.device
        )
