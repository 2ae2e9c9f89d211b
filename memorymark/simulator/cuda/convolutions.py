"""The kernels that cuDNN runs for convolutions, and which workspaces they may borrow.

Read in PyTorch, aten/src/ATen/native/cudnn/Conv_v8.cpp (at commit
407564617cf1e846e62c82bfe58168726cb8e3d4). For a shape that it has not seen, `run_single_conv`
asks cuDNN for plans in the order of its heuristics, and `try_configs` takes the first that runs:
it allocates the plan's workspace from the caching allocator and, where that raises out of memory,
goes on to the next plan; the allocator has given back its cache by then. So a large workspace is
optional: where there is no room for it the step still runs, with a plan that needs less. Each
result of a convolution has a kernel and a workspace of its own, one after the other.

With `torch.backends.cudnn.benchmark`, the first call of each shape times all plans
(`generate_and_filter_plans`): it allocates the largest of their workspaces, half as much and less
where there is no room, and then empties the allocator's cache.

cuDNN's choice depends on shape, card and version, and is not published. What is known of it:

- Kernels for tensor cores work on NHWC order, so a convolution of tensors in NCHW order may hold
  copies of its operands in that order. In fp32 this goes for cards with TF32, which cuDNN uses
  unless it is told not to.
- Others transform their operands: Winograd's F(4x4, 3x3) holds 36 numbers for each 16 of an
  operand (Lavin and Gray, 2016, arXiv:1509.09308).
- Nets that begin with a separable block (a first convolution to 32 channels or more, then a
  depthwise one of 3x3 on its result) may hold that result unfolded, nine times its size, in the
  backward pass: the peaks of MNASNet on an RTX 3060 in fp32 are higher by that much up to 758 MiB
  of it (batch 373 at 86x86 pixels) and not from 766 MiB on. Which kernel it is, is not known.

Depthwise convolutions in NCHW order run on PyTorch's own kernels, without a workspace
(`use_cudnn_depthwise` in aten/src/ATen/native/Convolution.cpp).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memorymark.simulator.cuda.rules import Rules
from memorymark.simulator.torch_compat import operation
from memorymark.units import MIB

_FORWARD = operation("aten::convolution")
_BACKWARD = operation("aten::convolution_backward")
# Position of `groups` among the arguments.
_GROUPS = {_FORWARD: 8, _BACKWARD: 9}
_WINOGRAD = (36, 16)
# What is held unfolded: by filters of so many elements, for so many channels, and up to this size.
_UNFOLDED_FILTER = (3, 3)
_UNFOLDED_CHANNELS = 32
_UNFOLDED_LIMIT_BYTES = 760 * MIB


@dataclass(frozen=True, slots=True)
class ConvolutionKernel:
    """One kernel that cuDNN runs for a convolution.

    Attributes:
        position: Number of events in the trace before its workspace is allocated.
        operand_bytes: What it reads and writes: images, weights and result; of a kernel that may
            unfold, only the images that it would.
        copies: Whether it is one that may hold copies of its operands in NHWC order.
        is_pointwise: Whether its filter is one element large, so that it is a matrix product.
        is_backward: Whether it belongs to the backward pass.
        is_first: Whether none before it had the same shapes.
        unfolds: Whether it may hold its images unfolded, and nothing else.
    """

    position: int
    operand_bytes: int
    copies: bool
    is_pointwise: bool
    is_backward: bool
    is_first: bool
    unfolds: bool = False

    @property
    def pointwise_bytes(self) -> int:
        """Copies of all operands, of a kernel that is a matrix product; 0 of others."""
        return self.operand_bytes if self.copies and self.is_pointwise else 0

    @property
    def gradient_bytes(self) -> int:
        """Copies of half of what it holds, of a kernel of the backward pass; 0 of others."""
        return self.operand_bytes // 2 if self.copies and self.is_backward else 0

    @property
    def unfolded_bytes(self) -> int:
        """The images of a separable block, once for each element of its filter; 0 of others."""
        size_bytes = self.operand_bytes * math.prod(_UNFOLDED_FILTER) if self.unfolds else 0
        return size_bytes if size_bytes <= _UNFOLDED_LIMIT_BYTES else 0

    @property
    def largest_bytes(self) -> int:
        """The largest workspace among the plans that a benchmark tries: transformed operands."""
        if self.unfolds:
            return 0
        transformed, plain = _WINOGRAD
        return (
            self.operand_bytes if self.is_pointwise else self.operand_bytes * transformed // plain
        )


class Convolutions:
    """Notes the kernels of a training step's convolutions.

    Args:
        rules: The simulated device.

    Attributes:
        kernels: The kernels so far, in the order in which they ran.
    """

    def __init__(self, rules: Rules) -> None:
        self.kernels: list[ConvolutionKernel] = []
        self._rules = rules
        self._seen: set[tuple[Any, ...]] = set()
        self._first_result: torch.Size | None = None  # of one sample

    def note(self, func: Any, args: tuple[Any, ...], result: Tensor, position: int) -> None:
        """Note the kernel for one result of a convolution.

        Args:
            func: The convolution, forward or backward.
            args: Its arguments.
            result: The result, which the allocator has made room for.
            position: Number of events in the trace so far.
        """
        operands = args[:2] if func is _FORWARD else args[:3]
        weight, groups = operands[-1], args[_GROUPS[func]]
        is_ordered = any(_is_channels_last(x) for x in operands)
        if not self._rules.is_cuda or self._rules.is_mps:
            return
        if _is_depthwise(groups, weight) and not is_ordered:
            if func is _BACKWARD and result.shape == weight.shape:
                self._note_unfolding(operands[1], weight, position)
            return
        if self._first_result is None:
            self._first_result = result.shape[1:]
        involved = (*operands, result) if func is _FORWARD else operands
        key = (func, result.shape == weight.shape, groups, *(x.shape for x in involved), *args[3:])
        key = tuple(tuple(part) if isinstance(part, list) else part for part in key)
        kernel = ConvolutionKernel(
            position=position,
            operand_bytes=sum(x.numel() * x.element_size() for x in involved),
            copies=not is_ordered and _uses_tensor_cores(weight.dtype, self._rules),
            is_pointwise=weight.shape[2:].numel() == 1,
            is_backward=func is _BACKWARD,
            is_first=key not in self._seen,
        )
        self._seen.add(key)
        self.kernels.append(kernel)

    def _note_unfolding(self, images: Tensor, weight: Tensor, position: int) -> None:
        """Note a depthwise convolution of the first convolution's result."""
        is_separable = (
            images.shape[1:] == self._first_result
            and images.dtype is torch.float32
            and _uses_tensor_cores(images.dtype, self._rules)
            and tuple(weight.shape[2:]) == _UNFOLDED_FILTER
            and weight.size(0) >= _UNFOLDED_CHANNELS
        )
        if is_separable:
            size_bytes = images.numel() * images.element_size()
            self.kernels.append(
                ConvolutionKernel(position, size_bytes, False, False, True, False, unfolds=True)
            )


def is_convolution(func: Any) -> bool:
    """Return whether the operation is a convolution, forward or backward."""
    return func in _GROUPS


def in_cudnn_order(func: Any, args: tuple[Any, ...], output: Any, rules: Rules) -> Any:
    """Return a convolution's output in the order that CUDA gives it.

    PyTorch's rule without data leaves it in NCHW; cuDNN's is in NHWC where images or weights are
    (`cudnn_conv_suggest_memory_format` in aten/src/ATen/native/ConvUtils.h).
    """
    if func is not _FORWARD or not rules.is_cuda or output.dtype is torch.float64:
        return output
    if output.dim() != 4 or not any(_is_channels_last(x) for x in args[:2]):
        return output
    return torch.empty_like(output, memory_format=torch.channels_last)


def _uses_tensor_cores(dtype: torch.dtype, rules: Rules) -> bool:
    smallest = (8, 0) if dtype is torch.float32 else (7, 0)
    return rules.is_cuda and rules.compute_capability >= smallest


def _is_depthwise(groups: int, weight: Tensor) -> bool:
    return groups > 1 and weight.size(1) == 1


def _is_channels_last(x: Tensor) -> bool:
    return (
        x.dim() == 4
        and x.is_contiguous(memory_format=torch.channels_last)
        and not x.is_contiguous()
    )
