"""Storages of tensors: which one a tensor has, and of which a composed tensor consists."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from memorymark.memory.torch_parts import key_of

_ROWS = ("crow_indices", "col_indices", "values")
_COLUMNS = ("ccol_indices", "row_indices", "values")
# By layout, the methods that return what a tensor consists of.
_SPARSE = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: _ROWS, torch.sparse_bsr: _ROWS,
    torch.sparse_csc: _COLUMNS, torch.sparse_bsc: _COLUMNS,
}  # fmt: skip


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


def storage_key(tensor: Tensor) -> int | None:
    """Return the key of a tensor's storage, None where it has none."""
    storage = storage_of(tensor)
    return None if storage is None else key_of(storage)
