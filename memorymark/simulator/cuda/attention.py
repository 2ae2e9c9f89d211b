"""Which kernel scaled_dot_product_attention takes, on CUDA and on the CPU.

The choice follows PyTorch 2.15, aten/src/ATen/native/transformers/cuda/sdp_utils.cpp (CUDA)
and sdp_utils_cpp.cpp (CPU): kernels in their order of priority, each with the shapes, formats
and devices that it takes; math where none does, and on MPS. cuDNN's kernel, first on Hopper and
Blackwell, keeps the same tensors as flash attention and is counted as such.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional

from memorymark.simulator.cuda.rules import Rules
from memorymark.simulator.torch_compat import operation

_FLASH = operation("aten::_scaled_dot_product_flash_attention")
_EFFICIENT = operation("aten::_scaled_dot_product_efficient_attention")
_MATH = operation("aten::_scaled_dot_product_attention_math")
_CPU_FLASH = operation("aten::_scaled_dot_product_flash_attention_for_cpu")
_HALF = (torch.float16, torch.bfloat16)


class Kernel(StrEnum):
    """Attention kernels."""

    FLASH = "flash"
    EFFICIENT = "efficient"
    MATH = "math"
    CPU_FLASH = "cpu-flash"


@dataclass(frozen=True)
class Call:
    """The arguments of one call.

    Shapes: query (batch, heads, queries, size), key and value (batch, heads, keys, size).
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    dropout: float
    is_causal: bool
    scale: float | None
    enable_gqa: bool

    @property
    def requires_grad(self) -> bool:
        """Whether a backward pass will follow."""
        inputs = (self.query, self.key, self.value)
        return torch.is_grad_enabled() and any(x.requires_grad for x in inputs)

    @property
    def same_heads(self) -> bool:
        """Whether no head of keys serves several heads of queries."""
        return self.query.size(1) == self.key.size(1) == self.value.size(1)

    @property
    def one_head_of_keys(self) -> bool:
        """Whether one head of keys serves all heads of queries."""
        return self.key.size(1) == self.value.size(1) == 1


def choose(call: Call, rules: Rules) -> Kernel:
    """Return the kernel that PyTorch would take."""
    if rules.is_mps or not _is_dense(call):
        return Kernel.MATH
    if not rules.is_cuda:
        return Kernel.CPU_FLASH if _cpu_flash_takes(call) else Kernel.MATH
    if torch.backends.cuda.flash_sdp_enabled() and _flash_takes(call, rules):
        return Kernel.FLASH
    if torch.backends.cuda.mem_efficient_sdp_enabled() and _efficient_takes(call, rules):
        return Kernel.EFFICIENT
    return Kernel.MATH


def attend(call: Call, rules: Rules) -> Tensor:
    """Run the chosen kernel and return what scaled_dot_product_attention returns."""
    kernel = choose(call, rules)
    return _RUN[kernel](dataclasses.replace(call, mask=_float_mask(call, rules)))


def _is_dense(call: Call) -> bool:
    inputs = (call.query, call.key, call.value)
    return (
        all(x.dim() == 4 and x.stride(-1) == 1 for x in inputs)
        and call.query.size(0) == call.key.size(0) == call.value.size(0)
        and all(x.size(2) > 0 for x in inputs)
        and call.query.dtype == call.key.dtype == call.value.dtype
    )


def _flash_takes(call: Call, rules: Rules) -> bool:
    size = call.query.size(-1)
    same_size = size == call.key.size(-1) == call.value.size(-1)
    heads = call.same_heads or (call.enable_gqa and call.query.size(1) % call.key.size(1) == 0)
    square = call.query.size(2) == call.key.size(2) or not call.is_causal
    return (
        rules.compute_capability >= (8, 0)
        and call.query.dtype in _HALF
        and call.mask is None
        and same_size
        and size <= 256
        and heads
        and square
        and _flash_trains(call, size, rules)
    )


def _flash_trains(call: Call, size: int, rules: Rules) -> bool:
    limited = (8, 6) <= rules.compute_capability <= (8, 9) or rules.compute_capability >= (12, 0)
    if not (limited and call.requires_grad):
        return True
    return size <= 192 or (not call.dropout and size > 224)


def _efficient_takes(call: Call, rules: Rules) -> bool:
    half = call.query.dtype in _HALF
    capability = rules.compute_capability
    if call.query.dtype is torch.bfloat16 and capability < (8, 0):
        return False
    if call.query.dtype not in (*_HALF, torch.float32):
        return False
    alignment = _alignment(half, capability)
    sizes = (call.query.size(-1), call.value.size(-1))
    return (
        call.same_heads
        and call.query.size(-1) == call.key.size(-1)
        and all(size % alignment == 0 for size in sizes)
        and not (call.mask is not None and call.mask.requires_grad and call.mask.dim() < 2)
    )


def _alignment(half: bool, capability: tuple[int, int]) -> int:
    tensor_cores = capability >= (8, 0) or (capability >= (7, 0) and half)
    smallest = 4 if capability >= (8, 0) else 1
    return max(smallest, 128 // (16 if half else 32)) if tensor_cores else smallest


def _cpu_flash_takes(call: Call) -> bool:
    square = call.query.size(2) == call.key.size(2) or not call.is_causal
    return (
        not call.dropout
        and call.query.size(-1) == call.key.size(-1) == call.value.size(-1)
        and (call.same_heads or call.enable_gqa or call.one_head_of_keys)
        and not (call.mask is not None and (call.mask.requires_grad or call.mask.dim() == 3))
        and square
    )


def _flash(call: Call) -> Tensor:
    size = call.query.size(-1)
    query, key, value = (_pad_last(x, 8) for x in (call.query, call.key, call.value))
    scale = call.scale if call.scale is not None else size**-0.5
    output = _FLASH(query, key, value, call.dropout, call.is_causal, False, scale=scale)[0]
    return output[..., :size] if output.size(-1) != size else output


def _efficient(call: Call) -> Tensor:
    mask = call.mask
    if mask is not None:
        mask = _pad_mask(mask).expand(
            call.query.size(0), call.query.size(1), call.query.size(2), call.key.size(2)
        )
    return _EFFICIENT(
        call.query, call.key, call.value, mask, call.requires_grad, call.dropout,
        call.is_causal, scale=call.scale,
    )[0]  # fmt: skip


def _math(call: Call) -> Tensor:
    return _MATH(
        call.query, call.key, call.value, call.mask, call.dropout, call.is_causal,
        None, scale=call.scale, enable_gqa=call.enable_gqa,
    )[0]  # fmt: skip


def _cpu_flash(call: Call) -> Tensor:
    return _CPU_FLASH(
        call.query, call.key, call.value, call.dropout, call.is_causal,
        attn_mask=call.mask, scale=call.scale,
    )[0]  # fmt: skip


_RUN = {
    Kernel.FLASH: _flash,
    Kernel.EFFICIENT: _efficient,
    Kernel.MATH: _math,
    Kernel.CPU_FLASH: _cpu_flash,
}


def _float_mask(call: Call, rules: Rules) -> Tensor | None:
    """Turn a mask of booleans into one that is added, as the operation does on every device."""
    mask = call.mask
    if mask is None or mask.dtype is not torch.bool:
        return mask
    if not rules.is_cuda:  # as PyTorch 2.15 is seen to do on the CPU
        kept, left_out = (
            torch.scalar_tensor(x, dtype=call.query.dtype, device=mask.device) for x in (0, -1e30)
        )
        return torch.where(mask, kept, left_out)
    return torch.zeros_like(mask, dtype=call.query.dtype).masked_fill_(mask.logical_not(), -1e30)


def _pad_mask(mask: Tensor) -> Tensor:
    """Align the rows of the mask to eight elements, as the kernel needs them."""
    keys = mask.size(-1)
    return mask if keys % 8 == 0 else _pad_last(mask, 8)[..., :keys]


def _pad_last(x: Tensor, multiple: int) -> Tensor:
    rest = x.size(-1) % multiple
    return functional.pad(x, (0, multiple - rest)) if rest else x
