"""Autocast for meta tensors: which operations run in which format.

The lists are in `cast_lists.py`, by the simulated device. The cache of cast weights follows
cached_cast in autocast_mode.cpp: leaf weights in fp32 that require a gradient are kept until the
outermost region ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from memorymark.memory.torch_parts import tree_leaves, tree_map
from memorymark.placement.patches import undone_in_forks
from memorymark.simulator.cuda.cast_lists import CPU, CUDA, CastLists
from memorymark.simulator.session import AUTOCAST_SLOT, Session, current
from memorymark.simulator.torch_compat import call_replaced, is_view, operation, replace_kernels

# These have replacements of their own (`replacements.py`), which ask `cast_arguments` themselves.
_REPLACED = (
    "scaled_dot_product_attention", "softmax.int", "log_softmax.int", "gru_cell", "lstm_cell",
)  # fmt: skip


@contextmanager
def autocast_kernels() -> Iterator[None]:
    """Hold the replacements while a region of mixed precision is simulated."""
    remove = replace_kernels(_KERNELS)
    try:
        with undone_in_forks(remove):
            yield
    finally:
        remove()


def cast_arguments(name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return the arguments as autocast hands them to the operation."""
    session = current()
    if session is None or not torch.is_autocast_enabled(AUTOCAST_SLOT):
        return args, kwargs
    lists = _lists(session)
    if name not in lists.names:
        return args, kwargs
    if name in lists.fp32_output:
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
        session = current()
        if session is None or not is_autocast_on() or name not in _lists(session).names:
            return call_replaced(op, *args, **kwargs)
        args, kwargs = cast_arguments(name, args, kwargs)
        with autocast_off():
            return call_replaced(op, *args, **kwargs)

    return kernel


def _lists(session: Session) -> CastLists:
    return CUDA if session.rules.is_cuda else CPU


def _caster(name: str, session: Session, arguments: Any) -> Callable[[Any], Any]:
    lists = _lists(session)
    if name in lists.lower:
        lower = torch.get_autocast_dtype(AUTOCAST_SLOT)
        return lambda x: _to_lower(x, lower, session)
    dtype = torch.float32 if name in lists.fp32 else _widest(arguments)
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


_NAMES = sorted((CUDA.names | CPU.names) - set(_REPLACED))
_KERNELS = {op: _casting(op, name) for name in _NAMES for op in [operation(f"aten::{name}")]}
