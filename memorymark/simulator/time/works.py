"""Which kernels CUDA runs for an operation, and which bytes they read and write.

An element-wise operation is one kernel that reads each operand and writes its result, and an
operation in place writes what it has read; a chain of them is not fused without a compiler. What
needs more than one pass over its operands says so where it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from memorymark.simulator.time import convolution_work, norm_work, product_kernels
from memorymark.simulator.time.kernels import (
    Kernel,
    Kind,
    Work,
    bytes_of,
    is_channels_last,
    made_plain,
    stream,
    tensors_in,
)
from memorymark.simulator.torch_compat import packet_of, schema_of

_Kernels = tuple[Kernel, ...]
_Rule = Callable[[tuple[Any, ...], Any, int], _Kernels]
_NOTHING = Work(())


def work_of(func: Any, args: tuple[Any, ...], output: Any) -> Work | None:
    """Return what an operation does. None for views and empty tensors, which take no time."""
    if func.is_view:
        return None
    rule = _rule_of(func)
    if rule is None:
        return None
    written = args[0] if output is None and args else output
    moved_bytes = bytes_of(args, written)
    if not moved_bytes:
        return None
    return Work(rule(args, written, moved_bytes))


@cache
def _rule_of(func: Any) -> _Rule | None:
    name = schema_of(func).name.partition("::")[2]
    if name.startswith("_fused_"):
        return _fused_optimizer
    if name.startswith(("_foreach_", "_amp_foreach_")):
        return _lists
    if name in _RULES:
        return _RULES[name]
    if name.rstrip("_") in _RULES:
        return _RULES[name.rstrip("_")]
    if name in _RESIZED:
        return _resized
    if "pool" in name or "upsample" in name or name in ("im2col", "col2im", "grid_sampler_2d"):
        return _of_kind(Kind.POOL)
    formula = flop_registry.get(packet_of(func))
    return _elementwise if formula is None else _counted(formula)


def _elementwise(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    kind = Kind.ELEMENTWISE if _in_one_order((*tensors_in(args), *tensors_in(output))) else (
        Kind.TRANSPOSE
    )  # fmt: skip
    return (stream(kind, moved_bytes),)


def _in_one_order(tensors: tuple[Tensor, ...]) -> bool:
    """Return whether all tensors of the largest size have their shortest stride at one place."""
    largest = max((x.numel() for x in tensors), default=0)
    places = {_fastest(x) for x in tensors if x.numel() == largest and x.dim() > 1}
    places.discard(None)
    return len(places) <= 1


def _fastest(x: Tensor) -> int | None:
    """Return, counted from the end, which dimension lies without gaps; None where any may."""
    if x.layout is not torch.strided:
        return None
    steps = [
        (stride, n) for n, (stride, size) in enumerate(zip(x.stride(), x.shape, strict=True))
        if size > 1 and stride
    ]  # fmt: skip
    return min(steps)[1] - x.dim() if steps else None


def _of_kind(kind: Kind, launches: int = 1) -> _Rule:
    return lambda args, output, moved_bytes: (stream(kind, moved_bytes, launches),)


def _resized(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """In NCHW order a thread is a place, and goes through all samples and channels in turn.

    Small images of many channels leave nearly all of the card idle
    (aten/src/ATen/native/cuda/UpSampleBilinear2d.cu; the other smooth ones alike).
    """
    if is_channels_last(args[0]):
        return (stream(Kind.POOL, moved_bytes),)
    planes, places = math.prod(output.shape[:2]), math.prod(output.shape[2:])
    return (Kernel(Kind.RESIZE, None, 1, moved_bytes, places, 1, planes),)


_RESIZED = frozenset((
    "upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d",
    "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
))  # fmt: skip


def _copy(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """What is copied to does not count as read."""
    moved = bytes_of(args[1], output)
    return _elementwise((args[1],), output, moved)


def _written(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    return (stream(Kind.ELEMENTWISE, bytes_of(output)),)


def _joined(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    return _elementwise(tuple(tensors_in(args))[:1], output, moved_bytes)


def _filled_before(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """The result is filled first, then a part of it is written."""
    part = bytes_of(args[0])
    return (stream(Kind.ELEMENTWISE, bytes_of(output)), stream(Kind.ELEMENTWISE, 2 * part))


def _gather(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """Of the table only the rows are read that are asked for."""
    asked = bytes_of(*args[1:])
    return (stream(Kind.GATHER, 2 * bytes_of(output) + asked),)


def _scatter(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """The table is filled, the indices are sorted, and rows are added where they belong."""
    return (stream(Kind.ELEMENTWISE, bytes_of(output)), stream(Kind.GATHER, 3 * bytes_of(args), 4))


def _nll(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """One element of each row is read."""
    return (stream(Kind.GATHER, 2 * bytes_of(args[1])),)


def _nll_backward(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    return (stream(Kind.ELEMENTWISE, bytes_of(output)), stream(Kind.GATHER, 2 * bytes_of(args[2])))


def _softmax(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    return (*made_plain(args[0]), stream(Kind.SOFTMAX, moved_bytes))


def _lists(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """Tensors of a list share kernels; what works in place writes what it has read."""
    return (stream(Kind.OPTIMIZER, moved_bytes, 1 + len(_list(args)) // _TENSORS_A_LAUNCH),)


def _fused_optimizer(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
    """Parameters and states are read and written, gradients only read."""
    lists = [part for part in args if isinstance(part, tuple | list)]
    states = [part for n, part in enumerate(lists) if n != 1]
    launches = 1 + len(_list(args)) // _TENSORS_A_LAUNCH
    return (stream(Kind.OPTIMIZER, bytes_of(lists) + bytes_of(states), launches),)


# aten/src/ATen/native/cuda/MultiTensorApply.cuh: depth_to_max_tensors.
_TENSORS_A_LAUNCH = 48


def _list(args: tuple[Any, ...]) -> Any:
    return args[0] if args and isinstance(args[0], tuple | list) else ()


def _product_of(at: int) -> _Rule:
    def rule(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
        return product_kernels.product(args[at], args[at + 1], moved_bytes)

    return rule


def _vector_product_of(at: int) -> _Rule:
    return lambda args, output, moved: product_kernels.vector_product(args[at], moved)


def _attention_rule(kind: Kind, first: int, causal: int) -> _Rule:
    def rule(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
        is_causal = bool(args[causal]) if len(args) > causal else False
        return product_kernels.attention(
            kind, args[first : first + 3], moved_bytes, is_causal=is_causal, backward=first == 1
        )

    return rule


def _recurrent_rule(*, backward: bool) -> _Rule:
    return lambda args, output, moved: product_kernels.recurrent(args, output, backward=backward)


def _counted(formula: Callable[..., int]) -> _Rule:
    """Take torch's count, as of a square product, where no rule says what the kernel is."""

    def rule(args: tuple[Any, ...], output: Any, moved_bytes: int) -> _Kernels:
        dtype = next(tensors_in(args)).dtype
        try:
            count = int(formula(*args, out_val=output))
        except (AssertionError, TypeError):
            return (stream(Kind.ELEMENTWISE, moved_bytes),)
        side = max(round((count / 2) ** (1 / 3)), 1)
        return (Kernel(Kind.PRODUCT, dtype, 1, moved_bytes, side, side, side),)

    return rule


_RULES: dict[str, _Rule | None] = {
    **dict.fromkeys(
        ("empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "_unsafe_view",
         "as_strided", "_local_scalar_dense", "_record_function_enter_new", "resize", "set",
         "_record_function_exit", "_reshape_alias", "detach"),
    ),
    # What batches are made of here; a loader brings them while the step before runs.
    "rand": None, "randn": None, "randint": None,
    "mm": _product_of(0), "bmm": _product_of(0), "addmm": _product_of(1),
    "baddbmm": _product_of(1), "addbmm": _product_of(1),
    "mv": _vector_product_of(0), "dot": _vector_product_of(0), "addmv": _vector_product_of(1),
    "convolution": lambda args, output, moved: convolution_work.forward(args, output),
    "convolution_backward": lambda args, output, moved: convolution_work.backward(args, output),
    "_scaled_dot_product_flash_attention": _attention_rule(Kind.FLASH, 0, 4),
    "_scaled_dot_product_flash_attention_backward": _attention_rule(Kind.FLASH, 1, 11),
    "_scaled_dot_product_efficient_attention": _attention_rule(Kind.EFFICIENT, 0, 6),
    "_scaled_dot_product_efficient_attention_backward": _attention_rule(Kind.EFFICIENT, 1, 11),
    "_cudnn_rnn": _recurrent_rule(backward=False),
    "_cudnn_rnn_backward": _recurrent_rule(backward=True),
    "native_batch_norm": norm_work.batch_norm, "cudnn_batch_norm": norm_work.batch_norm,
    "native_batch_norm_backward": norm_work.batch_norm_backward,
    "native_group_norm": norm_work.group_norm,
    "native_group_norm_backward": norm_work.group_norm_backward,
    "native_layer_norm": norm_work.layer_norm, "_fused_rms_norm": norm_work.layer_norm,
    "native_layer_norm_backward": norm_work.layer_norm_backward,
    "_fused_rms_norm_backward": norm_work.layer_norm_backward,
    **dict.fromkeys(
        ("_softmax", "_softmax_backward_data", "_log_softmax", "_log_softmax_backward_data",
         "_safe_softmax"), _softmax,
    ),
    **dict.fromkeys(
        ("sum", "mean", "amax", "amin", "max", "min", "var", "var_mean", "std", "norm", "any",
         "all", "argmax", "argmin", "logsumexp", "linalg_vector_norm", "prod", "cumsum", "topk"),
        _of_kind(Kind.REDUCTION),
    ),
    "sort": _of_kind(Kind.REDUCTION, 8),
    **dict.fromkeys(
        ("zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "new_zeros",
         "new_ones", "new_full", "zero", "fill", "rand_like",
         "randn_like", "arange", "uniform", "normal", "bernoulli", "scalar_tensor", "random"),
        _written,
    ),
    "copy": _copy,
    "cat": _joined, "stack": _joined,
    "slice_backward": _filled_before, "select_backward": _filled_before,
    "constant_pad_nd": _filled_before, "unfold_backward": _filled_before,
    "index": _gather, "index_select": _gather, "gather": _gather, "embedding": _gather,
    "embedding_dense_backward": _scatter, "index_put": _scatter, "index_add": _scatter,
    "scatter_add": _scatter,
    "nll_loss_forward": _nll, "nll_loss_backward": _nll_backward,
    "nll_loss2d_forward": _nll, "nll_loss2d_backward": _nll_backward,
}  # fmt: skip
