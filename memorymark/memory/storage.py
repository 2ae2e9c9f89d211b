"""Storages, modes and trees: what the rooms below the simulator need of torch's private parts.

torch has no public name for the identity of a storage, for a mode that sees every operation, or
for walking nested containers. What the simulator needs beyond that is in
`simulator/torch_compat.py`, which also checks that all of it is there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memorymark.errors import IncompatibleTorch

# The versions of torch, major and minor, with which the private parts were tried.
TESTED_VERSIONS = ("2.11", "2.15")

try:
    from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
    from torch.utils._pytree import tree_leaves, tree_map
except ImportError as error:
    raise IncompatibleTorch([str(error)], torch.__version__, TESTED_VERSIONS) from error

__all__ = [
    "TESTED_VERSIONS", "OperationMode", "is_mutable", "key_of", "storage_key", "storage_of",
    "tree_leaves", "tree_map", "without_modes",
]  # fmt: skip

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
        """Hand the operation to `handle`."""
        return self.handle(func, args, kwargs or {})

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the operation."""
        return func(*args, **kwargs)


def storage_of(tensor: Tensor) -> torch.UntypedStorage | None:
    """Return a tensor's storage; None for sparse tensors and the like, which have none."""
    try:
        return tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):
        return None


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
