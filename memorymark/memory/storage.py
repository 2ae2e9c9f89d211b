"""Storages, modes and trees: what the rooms below the simulator need of torch's private parts.

torch has no public name for the identity of a storage, for a mode that sees every operation, or
for walking nested containers. The first tracker calls `check`, on real tensors as on simulated
ones. What the simulator needs beyond this is in `simulator/torch_compat.py`, which has a check of
its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from memorymark.errors import IncompatibleTorch

# The versions of torch, major and minor, with which the private parts were tried.
TESTED_VERSIONS = ("2.11", "2.15")

# Everything private that is used below and is not imported here.
_RELIED_ON = (
    "UntypedStorage._cdata", "ops.aten.add.Tensor._schema.is_mutable", "Tensor._backward_hooks",
    "Tensor._post_accumulate_grad_hooks", "utils.checkpoint.CheckpointFunction.apply",
    "utils.checkpoint._checkpoint_without_reentrant_generator",  # in torch 2.15 around another
)  # fmt: skip

try:
    from torch.utils import checkpoint as checkpointing
    from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
    from torch.utils._pytree import tree_leaves, tree_map
except ImportError as error:
    raise IncompatibleTorch([str(error)], torch.__version__, TESTED_VERSIONS) from error

__all__ = [
    "RECOMPUTING", "TESTED_VERSIONS", "OperationMode", "check", "has_compiler", "is_mutable",
    "key_of", "missing_parts", "parts_of", "storage_key", "storage_of", "take_hooks", "tree_leaves",
    "tree_map", "without_modes",
]  # fmt: skip

_ROWS = ("crow_indices", "col_indices", "values")
_COLUMNS = ("ccol_indices", "row_indices", "values")
# By layout, the methods that return what a tensor consists of.
_SPARSE = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: _ROWS, torch.sparse_bsr: _ROWS,
    torch.sparse_csc: _COLUMNS, torch.sparse_bsc: _COLUMNS,
}  # fmt: skip

# Who is given a function that runs again in the backward pass, as its first argument.
_GENERATOR = "_checkpoint_without_reentrant_generator"
RECOMPUTING = (
    (checkpointing, _GENERATOR + ("_impl" if hasattr(checkpointing, _GENERATOR + "_impl") else "")),
    (checkpointing.CheckpointFunction, "apply"),
)

# Suspends every mode, so that what runs inside is not seen.
without_modes = _disable_current_modes


class OperationMode(TorchDispatchMode):
    """While it is entered, `handle` is given every operation on tensors and returns its result."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled while storages are followed; the guard against it costs a third
        # of a simulated step.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Hand the operation to `handle`; one on wrapped tensors comes back with what they wrap."""
        if types and any(hasattr(kind, "__tensor_flatten__") for kind in types):
            return NotImplemented
        return self.handle(func, args, kwargs or {})

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the operation."""
        return func(*args, **kwargs)


@cache
def check() -> None:
    """Look for every private part that is used here, once, before a storage is followed.

    Raises:
        IncompatibleTorch: Some are not there.
    """
    missing = missing_parts(_RELIED_ON)
    if missing:
        raise IncompatibleTorch(missing, torch.__version__, TESTED_VERSIONS)


def missing_parts(paths: Iterable[str]) -> list[str]:
    """Return which parts of torch, as in "Tensor._is_view", are not there."""
    return [f"torch.{path}" for path in paths if not _has(path)]


def storage_of(tensor: Tensor) -> torch.UntypedStorage | None:
    """Return a tensor's storage; None for sparse tensors and the like, which have none."""
    try:
        return tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):
        return None


def parts_of(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the tensors with a storage of their own of which a tensor consists.

    A sparse tensor consists of its indices and values, one that wraps others (quantized weights,
    nested tensors) of those, any other of itself.
    """
    if hasattr(tensor, "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        for name in names:
            yield from parts_of(getattr(tensor, name))
    elif tensor.layout in _SPARSE:
        for name in _SPARSE[tensor.layout]:
            yield getattr(tensor, name)()
    else:
        yield tensor


def key_of(storage: torch.UntypedStorage) -> int:
    """Return what tells a storage from every other that is alive."""
    return storage._cdata


def storage_key(tensor: Tensor) -> int | None:
    """Return the key of a tensor's storage, None where it has none."""
    storage = storage_of(tensor)
    return None if storage is None else storage._cdata


def is_mutable(func: Any) -> bool:
    """Return whether an operation writes into one of its arguments."""
    return func._schema.is_mutable


def take_hooks(tensor: Tensor) -> Callable[[Tensor], None]:
    """Take the hooks off a leaf tensor; what is returned puts them on a tensor.

    The user's handles stay good: they remove from the same dictionaries.
    """
    before, after = tensor._backward_hooks, tensor._post_accumulate_grad_hooks
    if before is not None:
        tensor._backward_hooks = None

    def put(target: Tensor) -> None:
        if before is not None:
            target._backward_hooks = before
        if after is not None:
            target._post_accumulate_grad_hooks = after

    return put


def version_of(tensor: Tensor) -> int | None:
    """Return how often a tensor was written to, by which autograd knows stale values."""
    return None if tensor.is_inference() else tensor._version


def set_version(tensor: Tensor, version: int | None) -> None:
    """Count a tensor as written to just so often, where this torch can."""
    put = getattr(torch._C._autograd, "_unsafe_set_version_counter", None)
    if put is not None and version is not None and tensor._version != version:
        put((tensor,), (version,))


def has_compiler() -> bool:
    """Return whether the part of torch is loaded that torch.compile needs."""
    return "torch._dynamo" in sys.modules


def _has(path: str) -> bool:
    try:
        attrgetter(path)(torch)
    except AttributeError:
        return False
    return True
