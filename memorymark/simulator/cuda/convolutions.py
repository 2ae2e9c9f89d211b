"""An allowance for cuDNN's workspaces. It is reported apart from what is known.

cuDNN chooses an algorithm, and with it a workspace, for each shape, card and version, by
heuristics that are not published. The rule here is its most common choice: the kernels
for tensor cores work on tensors in NHWC order, so a convolution of tensors in NCHW order holds
copies of its three operands in that order while it runs. In fp32 this goes for cards with TF32,
which cuDNN uses unless it is told not to. It was set against measured runs on two cards
(benchmarks/accuracy.py), where single networks come out up to 8 % off.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memorymark.simulator.cuda.rules import Rules
from memorymark.simulator.torch_compat import operation

_FORWARD = operation("aten::convolution")
_BACKWARD = operation("aten::convolution_backward")
# Position of `groups` among the arguments.
_GROUPS = {_FORWARD: 8, _BACKWARD: 9}


def is_convolution(func: Any) -> bool:
    """Return whether the operation is a convolution, forward or backward."""
    return func in _GROUPS


def workspace_bytes(func: Any, args: tuple[Any, ...], output: Any, rules: Rules) -> int:
    """Return the allowance for each of the kernels that the convolution runs, in bytes.

    Args:
        func: The convolution, forward or backward.
        args: Its arguments.
        output: What it returned.
        rules: The simulated device.
    """
    operands = args[:2] if func is _FORWARD else args[:3]
    weight = operands[-1]
    if not _uses_tensor_cores(weight.dtype, rules) or _is_depthwise(args[_GROUPS[func]], weight):
        return 0
    if any(_is_channels_last(x) for x in operands):
        return 0
    result = (output,) if func is _FORWARD else ()
    return sum(x.numel() * x.element_size() for x in (*operands, *result))


def _uses_tensor_cores(dtype: torch.dtype, rules: Rules) -> bool:
    smallest = (8, 0) if dtype is torch.float32 else (7, 0)
    return rules.is_cuda and rules.compute_capability >= smallest


def _is_depthwise(groups: int, weight: Tensor) -> bool:
    """One filter a channel: PyTorch has kernels of its own for that, without a workspace."""
    return groups > 1 and weight.size(1) == 1


def _is_channels_last(x: Tensor) -> bool:
    return (
        x.dim() == 4
        and x.is_contiguous(memory_format=torch.channels_last)
        and not x.is_contiguous()
    )
