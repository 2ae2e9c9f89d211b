"""Values of a tensor too large to keep, which repeat along some of its dimensions.

An attention mask of every query and key is such a tensor: it is made from one small mask for the
keys and one for the queries, and what is later asked is a row of it.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Table:
    """What is known of one tensor, or of one view, of a storage.

    Args:
        tensor: The tensor without data.
        values: Its values; dimensions along which they repeat may have the size 1.
    """

    def __init__(self, tensor: Tensor, values: Tensor) -> None:
        self._values = values
        self._place = _place(tensor)
        bytes_held = tensor.numel() * tensor.element_size()
        self._is_whole = tensor.is_contiguous() and bytes_held == tensor.untyped_storage().nbytes()

    def compact(self, tensor: Tensor) -> Tensor | None:
        """Return values that broadcast to the tensor's shape; None for any other view."""
        return self._values if _place(tensor) == self._place else None

    def copy_of(self, tensor: Tensor) -> Tensor | None:
        """Return a copy of the values of a view of the storage; None where they are unknown."""
        shape = self._place[1]
        values = self._values.expand(shape)
        if _place(tensor) == self._place:
            return values.clone()
        if not self._is_whole:
            return None
        return values[torch.unravel_index(_positions(tensor), shape)]


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Return offset, shape and strides; the stride of a single element says nothing."""
    shape = tuple(tensor.shape)
    strides = (0 if n == 1 else s for n, s in zip(shape, tensor.stride(), strict=True))
    return tensor.storage_offset(), shape, tuple(strides)


def _positions(tensor: Tensor) -> Tensor:
    """Return where in its storage each element of a tensor is."""
    positions = torch.tensor(tensor.storage_offset())
    for count, stride in zip(tensor.shape, tensor.stride(), strict=True):
        positions = positions.unsqueeze(-1) + torch.arange(count) * stride
    return positions
