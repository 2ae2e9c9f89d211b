"""How many bytes an operation is about to allocate, found without running it.

A budget must hold before memory is taken, not after: one operation of a batch that is much
too large could take more than the machine has.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memorymark.memory.storage import parts_of, storage_key, storage_of
from memorymark.memory.torch_parts import is_mutable, tree_leaves, tree_map

_SMALL_BYTES = 1024**2
# What kernels without data raise: RuntimeError (NotImplementedError is one) where the result
# depends on the data or there is no kernel, the others through torch's checks and asserts. Where
# the arguments are wrong, the operation itself says so next.
_NO_RULE = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)


def output_bytes(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Return the bytes that the operation will allocate, 0 where they are few or unknown.

    Args:
        func: The operation.
        args: Its positional arguments.
        kwargs: Its other arguments.
    """
    if is_mutable(func) or _stays_small(func, args):
        return 0
    try:
        outputs = _on_meta(func, args, kwargs)
    except _NO_RULE:
        return 0  # its outputs are counted once they exist
    storages = [storage_of(part) for x in outputs for part in parts_of(x)]
    return sum(storage.nbytes() for storage in storages if storage is not None)


def _stays_small(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether the output is as small as the inputs; only then is asking not worth its time."""
    if func.is_view:
        return True
    if torch.Tag.pointwise not in func.tags:
        return False
    tensors = (x for x in tree_leaves(args) if isinstance(x, Tensor))
    return all(x.numel() * x.element_size() < _SMALL_BYTES for x in tensors)


def _on_meta(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    inputs: dict[int, Tensor] = {}

    def to_meta(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        if id(x) not in inputs:
            inputs[id(x)] = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")
        return inputs[id(x)]

    args, kwargs = tree_map(to_meta, (args, kwargs))
    if "device" in kwargs:
        kwargs = {**kwargs, "device": torch.device("meta"), "pin_memory": None}
    outputs = func(*args, **kwargs)
    known = {storage_key(x) for x in inputs.values()}
    return [
        x for x in tree_leaves(outputs) if isinstance(x, Tensor) and storage_key(x) not in known
    ]
