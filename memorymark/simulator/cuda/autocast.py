"""CUDA's autocast for meta tensors: which operations run in which format.

The lists are CUDA's (PyTorch, aten/src/ATen/autocast_mode.h, 2.15), the cache of cast weights
follows cached_cast in autocast_mode.cpp: leaf weights in fp32 that require a gradient are kept
until the outermost region ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from memorymark.memory.storage import tree_leaves, tree_map
from memorymark.simulator.session import AUTOCAST_SLOT, Session, current
from memorymark.simulator.torch_compat import call_replaced, is_view, operation, replace_kernels

_LOWER = [
    "_convolution", "conv1d", "conv1d.padding", "conv2d", "conv2d.padding", "conv3d",
    "conv3d.padding", "conv_tbc", "conv_transpose1d", "conv_transpose2d.input",
    "conv_transpose3d.input", "convolution", "prelu", "addmm", "addmv", "addr", "matmul", "einsum",
    "mm", "mv", "linalg_vecdot", "linear", "addbmm", "baddbmm", "bmm", "chain_matmul",
    "linalg_multi_dot", "gru_cell", "lstm_cell", "rnn_tanh_cell", "rnn_relu_cell",
    "scaled_dot_product_attention",
]  # fmt: skip
_FP32 = [
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal",
    "rsqrt", "sinh", "tan", "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", "softplus",
    "layer_norm", "native_layer_norm", "group_norm", "rms_norm", "frobenius_norm.dim",
    "nuclear_norm", "cosine_similarity", "poisson_nll_loss", "cosine_embedding_loss", "nll_loss",
    "nll_loss2d", "hinge_embedding_loss", "kl_div", "l1_loss", "smooth_l1_loss", "huber_loss",
    "mse_loss", "margin_ranking_loss", "multilabel_margin_loss", "soft_margin_loss",
    "triplet_margin_loss", "multi_margin_loss", "binary_cross_entropy_with_logits", "dist", "pdist",
    "cdist", "renorm", "logsumexp", "upsample_nearest1d", "upsample_nearest2d",
    "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d", "_upsample_bilinear2d_aa",
    "upsample_trilinear3d", "upsample_bicubic2d",
]  # fmt: skip
_FP32_OUTPUT = [
    "prod", "prod.dim_int", "softmax.int", "log_softmax.int", "cumprod", "cumsum",
    "linalg_vector_norm", "sum", "sum.dim_IntList",
]  # fmt: skip
_WIDEST = [
    "addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "vdot", "grid_sampler", "index_put",
    "tensordot", "scatter_add",
]  # fmt: skip

# These have replacements of their own (`replacements.py`), which ask `cast_arguments` themselves.
_REPLACED = (
    "scaled_dot_product_attention", "softmax.int", "log_softmax.int", "gru_cell", "lstm_cell",
)  # fmt: skip


@contextmanager
def autocast_kernels() -> Iterator[None]:
    """Hold the replacements while a region of mixed precision is simulated."""
    remove = replace_kernels(_KERNELS)
    try:
        yield
    finally:
        remove()


def cast_arguments(name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return the arguments as autocast hands them to the operation."""
    session = current()
    if session is None or not torch.is_autocast_enabled(AUTOCAST_SLOT):
        return args, kwargs
    if name in _FP32_OUTPUT:
        return args, _ask_for_fp32(args, kwargs)
    cast = _caster(name, session, (args, kwargs))
    return tree_map(cast, (args, kwargs))


def is_autocast_on() -> bool:
    """Return whether a simulation runs operations in mixed precision."""
    return current() is not None and torch.is_autocast_enabled(AUTOCAST_SLOT)


@contextmanager
def autocast_off() -> Iterator[None]:
    """Run what is inside as autocast runs the operations beneath one that it has cast."""
    before = torch.is_autocast_enabled(AUTOCAST_SLOT)
    torch.set_autocast_enabled(AUTOCAST_SLOT, False)
    try:
        yield
    finally:
        torch.set_autocast_enabled(AUTOCAST_SLOT, before)


def _casting(op: Any, name: str) -> Callable[..., Any]:
    def kernel(*args: Any, **kwargs: Any) -> Any:
        if not is_autocast_on():
            return call_replaced(op, *args, **kwargs)
        args, kwargs = cast_arguments(name, args, kwargs)
        with autocast_off():
            return call_replaced(op, *args, **kwargs)

    return kernel


def _caster(name: str, session: Session, arguments: Any) -> Callable[[Any], Any]:
    if name in _LOWER:
        lower = torch.get_autocast_dtype(AUTOCAST_SLOT)
        return lambda x: _to_lower(x, lower, session)
    dtype = torch.float32 if name in _FP32 else _widest(arguments)
    return lambda x: x.to(dtype) if _is_eligible(x) and x.dtype != dtype else x


def _is_eligible(x: Any) -> bool:
    return (
        isinstance(x, Tensor)
        and x.is_floating_point()
        and x.is_meta
        and x.dtype is not torch.float64
    )


def _to_lower(x: Any, lower: torch.dtype, session: Session) -> Any:
    if not _is_eligible(x) or x.dtype == lower:
        return x
    cacheable = (
        x.dtype is torch.float32
        and x.requires_grad
        and x.is_leaf
        and not is_view(x)
        and torch.is_autocast_cache_enabled()
    )
    if not cacheable:
        return x.to(lower)
    if id(x) not in session.cast_cache:
        session.cast_cache[id(x)] = (x, x.to(lower))
    return session.cast_cache[id(x)][1]


def _ask_for_fp32(args: Any, kwargs: Any) -> Any:
    if kwargs.get("dtype") is not None or not _is_eligible(args[0]):
        return kwargs
    if any(isinstance(arg, torch.dtype) for arg in args):
        return kwargs
    return {**kwargs, "dtype": torch.float32}


def _widest(arguments: Any) -> torch.dtype:
    eligible = [x.dtype for x in tree_leaves(arguments) if _is_eligible(x)]
    lower = torch.get_autocast_dtype(AUTOCAST_SLOT)
    return torch.float32 if torch.float32 in eligible else lower


_NAMES = [name for name in (*_LOWER, *_FP32, *_FP32_OUTPUT, *_WIDEST) if name not in _REPLACED]
_KERNELS = {op: _casting(op, name) for name in _NAMES for op in [operation(f"aten::{name}")]}
