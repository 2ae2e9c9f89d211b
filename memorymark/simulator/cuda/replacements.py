"""Operations that CUDA runs with other kernels than those that meta tensors would take."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memorymark.simulator.cuda.attention import Call, attend
from memorymark.simulator.cuda.autocast import autocast_off, cast_arguments
from memorymark.simulator.cuda.recurrent import KERNELS as RECURRENT
from memorymark.simulator.session import current
from memorymark.simulator.torch_compat import call_replaced, operation, replace_kernels

_ATTENTION = operation("aten::scaled_dot_product_attention")
_DROPOUT = operation("aten::dropout")
_FUSED_DROPOUT = operation("aten::native_dropout")
_SOFTMAX = operation("aten::softmax.int")
_FUSED_SOFTMAX = operation("aten::_softmax")
_LOG_SOFTMAX = operation("aten::log_softmax.int")
_FUSED_LOG_SOFTMAX = operation("aten::_log_softmax")


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    session = current()
    args = (query, key, value, attn_mask, dropout_p, is_causal)
    if session is None:
        return call_replaced(_ATTENTION, *args, scale=scale, enable_gqa=enable_gqa)
    args, _ = cast_arguments("scaled_dot_product_attention", args, {})
    with autocast_off():
        return attend(Call(*args, scale=scale, enable_gqa=enable_gqa), session.rules)


def _dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """CUDA fuses dropout and saves a mask of one byte an element (native/Dropout.cpp)."""
    session = current()
    fused = session is not None and session.rules.is_cuda and train and 0 < p < 1
    if fused and input.numel():
        return _FUSED_DROPOUT(input, p, train)[0]
    return call_replaced(_DROPOUT, input, p, train)


def _softmax_like(name: str, op: Any, fused: Any) -> Any:
    """CUDA reads fp16 and writes fp32 in one kernel; bf16 is cast before (native/SoftMax.cpp)."""

    def kernel(input: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
        session = current()
        if session is None:
            return call_replaced(op, input, dim, dtype)
        _, options = cast_arguments(name, (input, dim), {"dtype": dtype})
        dtype = options["dtype"]
        with autocast_off():
            half = input.dtype is torch.float16
            if session.rules.is_cuda and half and dtype is torch.float32:
                return fused(input, dim, True)
            return call_replaced(op, input, dim, dtype)

    return kernel


# Registered for the life of the process; outside of a simulation they pass every call on. The name
# is what keeps them: a library of kernels that nobody holds takes its kernels with it.
_UNREGISTER = replace_kernels(
    {
        _ATTENTION: _attention,
        _DROPOUT: _dropout,
        _SOFTMAX: _softmax_like("softmax.int", _SOFTMAX, _FUSED_SOFTMAX),
        _LOG_SOFTMAX: _softmax_like("log_softmax.int", _LOG_SOFTMAX, _FUSED_LOG_SOFTMAX),
        **RECURRENT,
    }
)
