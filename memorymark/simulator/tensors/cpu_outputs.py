"""Outputs of operations whose kernels on the CPU give others than those of CUDA.

PyTorch's rules without data are CUDA's. The statistics that a normalization hands on for its
backward pass are on the CPU in the format of the weights (PyTorch 2.15,
aten/src/ATen/native/layer_norm.cpp and Normalization.cpp), and outside of training there are none
of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from memorymark.simulator.torch_compat import operation

_LAYER_NORM = operation("aten::native_layer_norm")
_BATCH_NORM = operation("aten::native_batch_norm")


def cpu_rule_for(func: Any) -> Callable[..., Any] | None:
    """Return what makes an operation's outputs on the CPU, None where PyTorch does."""
    return _RULES.get(func)


def _layer_norm(
    x: Tensor, shape: Any, weight: Tensor | None, *rest: Any, **options: Any
) -> tuple[Tensor, ...]:
    normalized, *statistics = _LAYER_NORM(x, shape, weight, *rest, **options)
    dtype = x.dtype if weight is None else weight.dtype
    return normalized, *(each.new_empty(each.shape, dtype=dtype) for each in statistics)


def _batch_norm(
    x: Tensor, weight: Tensor | None, bias: Any, mean: Any, var: Any, training: bool, *rest: Any
) -> tuple[Tensor, ...]:
    normalized, *statistics = _BATCH_NORM(x, weight, bias, mean, var, training, *rest)
    dtype = next(each for each in (weight, mean, x) if each is not None).dtype
    size = x.size(1) if training else 0
    return normalized, *(each.new_empty(size, dtype=dtype) for each in statistics)


_RULES: dict[Any, Callable[..., Any]] = {
    _LAYER_NORM: _layer_norm,
    _BATCH_NORM: _batch_norm,
}
