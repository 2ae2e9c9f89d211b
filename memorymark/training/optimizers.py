"""Optimizers by name, with torch.optim's choice of implementation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from memorymark.errors import InvalidValue
from memorymark.records.config import Optimizer, OptimizerImpl, TrainingConfig
from memorymark.training.runtime import Runtime

# The rate does not matter for memory; it is small so that random weights stay finite.
_LEARNING_RATE = 1e-6

_CLASSES: dict[Optimizer, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    Optimizer.SGD: (torch.optim.SGD, {}),
    Optimizer.SGD_MOMENTUM: (torch.optim.SGD, {"momentum": 0.9}),
    Optimizer.ADAM: (torch.optim.Adam, {}),
    Optimizer.ADAMW: (torch.optim.AdamW, {}),
    Optimizer.RMSPROP: (torch.optim.RMSprop, {}),
    Optimizer.ADAGRAD: (torch.optim.Adagrad, {}),
    Optimizer.ADAFACTOR: (torch.optim.Adafactor, {}),
}
_FUSED = (
    Optimizer.SGD, Optimizer.SGD_MOMENTUM, Optimizer.ADAM, Optimizer.ADAMW, Optimizer.ADAGRAD
)  # fmt: skip


def build_optimizer(
    config: TrainingConfig, parameters: Iterable[nn.Parameter], runtime: Runtime
) -> torch.optim.Optimizer | None:
    """Return the optimizer, None where the config has none.

    Raises:
        InvalidValue: The optimizer has no such implementation.
        MissingPackage: It needs a package that is not installed.
    """
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if config.optimizer is Optimizer.NONE:
        return None
    if config.optimizer is Optimizer.ADAMW_8BIT:
        return runtime.adamw_8bit(trainable)
    kind, options = _CLASSES[config.optimizer]
    return kind(trainable, lr=_LEARNING_RATE, **options, **_implementation(config, runtime))


def _implementation(config: TrainingConfig, runtime: Runtime) -> dict[str, bool]:
    impl = config.optimizer_impl
    if impl is OptimizerImpl.DEFAULT:
        impl = runtime.default_optimizer_impl
        if config.optimizer is Optimizer.ADAFACTOR:
            return {}  # torch does not choose foreach for it by itself
    if impl is OptimizerImpl.FUSED:
        if config.optimizer not in _FUSED:
            has = ", ".join(name.value for name in _FUSED)
            raise InvalidValue("optimizer implementation", "fused", f"fused exists for {has}")
        return {"fused": True}
    if impl is OptimizerImpl.FOREACH:
        return {"foreach": True}
    return {"foreach": False} if impl is OptimizerImpl.FOR_LOOP else {}


def state_tensors(optimizer: torch.optim.Optimizer | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (parameter, state) for the optimizer's states; counters of one element are left out."""
    states = {} if optimizer is None else optimizer.state
    for parameter, values in states.items():
        for value in values.values():
            if isinstance(value, Tensor) and value.numel() > 1:
                yield parameter, value


def release_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Set the gradients to None, of parameters outside the model too.

    It is what `zero_grad` does but for the profiler's marks, which are no work of the device.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None
