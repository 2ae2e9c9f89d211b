"""Scratch memory that CUDA's libraries take while an operation runs, and that no tensor holds.

cuBLAS keeps one workspace for each handle, and the forward pass and autograd's thread have a
handle each (PyTorch, aten/src/ATen/cuda/CublasHandlePool.cpp). Attention's backward kernels
accumulate in fp32 (native/transformers/cuda/attention_backward.cu and flash_attn/flash_api.cpp).
A loss that is reduced is computed for every element first (native/Loss.cpp). Norms of many
tensors in one call, as in the clipping of gradients, have a part for each chunk of 65,536 elements,
and each tensor has room for as many parts as the largest (native/cuda/ForeachReduceOp.cu).
Convolutions: see `convolutions.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from memorymark.simulator.cuda import recurrent_buffers
from memorymark.simulator.torch_compat import operation, operations

_GEMMS = operations(
    "mm", "addmm", "bmm", "baddbmm", "addmv", "mv", "_scaled_dot_product_attention_math"
)
_HALF = (torch.float16, torch.bfloat16)
_FP32_BYTES = 4
_CHUNK = 65_536  # elements (native/cuda/MultiTensorApply.cuh)


def uses_cublas(func: Any) -> bool:
    """Return whether the operation is a product of matrices."""
    return func in _GEMMS


def is_transient(func: Any) -> bool:
    """Return whether the operation may take scratch memory and give it back."""
    return func in _TRANSIENT


def transient_bytes(func: Any, args: tuple[Any, ...]) -> int:
    """Return the scratch bytes that the operation takes on CUDA and gives back.

    Args:
        func: The operation.
        args: Its arguments.
    """
    rule = _TRANSIENT.get(func)
    return rule(args) if rule else 0


def _flash_backward(args: tuple[Any, ...]) -> int:
    query = args[1]
    batch, heads, queries, size = query.shape
    rounded_queries, rounded_size = _round_up(queries, 128), _round_up(size, 32)
    accumulator = batch * heads * rounded_queries * rounded_size
    row_sums = batch * heads * rounded_queries
    return (accumulator + row_sums) * _FP32_BYTES


def _efficient_backward(args: tuple[Any, ...]) -> int:
    query = args[1]
    batch, heads, queries = query.shape[:3]
    row_sums = batch * heads * _round_up(queries, 32)
    accumulator = query.numel() if query.dtype in _HALF else 0
    return (row_sums + accumulator) * _FP32_BYTES


def _embedding_backward(args: tuple[Any, ...]) -> int:
    # Above 3,072 indices they are sorted with their positions, each in a copy and a buffer
    # (native/cuda/Embedding.cu).
    indices = args[1].numel()
    return 4 * indices * args[1].element_size() if indices > 3072 else 0


def _loss(args: tuple[Any, ...]) -> int:
    if len(args) > 2 and args[2] == 0:
        return 0
    shape = torch.broadcast_shapes(args[0].shape, args[1].shape)
    return math.prod(shape) * torch.result_type(args[0], args[1]).itemsize


def _ctc_backward(args: tuple[Any, ...]) -> int:
    log_alpha = args[6]  # the betas' table is as large as the alphas' (native/cuda/LossCTC.cu)
    return log_alpha.numel() * log_alpha.element_size()


def _foreach_norm(args: tuple[Any, ...]) -> int:
    tensors = args[0]
    chunks = max((-(-tensor.numel() // _CHUNK) for tensor in tensors), default=0)
    in_fp64 = bool(tensors) and tensors[0].dtype is torch.float64
    return len(tensors) * chunks * _FP32_BYTES * (1 + in_fp64)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


_TRANSIENT: dict[Any, Callable[[tuple[Any, ...]], int]] = {
    operation("aten::_scaled_dot_product_flash_attention_backward"): _flash_backward,
    operation("aten::_scaled_dot_product_efficient_attention_backward"): _efficient_backward,
    operation("aten::embedding_dense_backward"): _embedding_backward,
    **dict.fromkeys(operations("mse_loss", "smooth_l1_loss", "huber_loss"), _loss),
    operation("aten::_ctc_loss_backward.Tensor"): _ctc_backward,
    operation("aten::_foreach_norm.Scalar"): _foreach_norm,
    recurrent_buffers.CUDNN: recurrent_buffers.forward_scratch_bytes,
    recurrent_buffers.CUDNN_BACKWARD: recurrent_buffers.backward_scratch_bytes,
}
