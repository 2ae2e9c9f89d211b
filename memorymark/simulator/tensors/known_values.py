"""Keeps what is known of the values of tensors without data, by storage.

Three forms: one value for all elements (a full attention mask, of any size), a copy of a small
storage (positions, lengths, token ids, tables of indices), and values that repeat (`tables.py`).
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memorymark.memory.storage import storage_key
from memorymark.memory.torch_parts import key_of
from memorymark.simulator.tensors.tables import Table

Scalar = bool | int | float

# Larger tensors are not computed: a table of positions is small, an activation is not. Of data,
# which decides what a model does, more is kept: batches, random numbers, choices, and what is
# made of them.
MOST_ELEMENTS = 16_384
MOST_DATA = {True: 2**17, False: 2**22}  # floating-point numbers or not


@dataclass(slots=True, eq=False)
class _Known:
    """What is known of one storage: a value for all elements, a copy of them, or a table."""

    is_data: bool = False
    scalar: Scalar = 0
    copy: torch.UntypedStorage | None = None
    table: Table | None = None
    life: Any = None

    @property
    def is_uniform(self) -> bool:
        return self.copy is None and self.table is None


class KnownValues:
    """Remembers values as long as the storages of their tensors live."""

    def __init__(self) -> None:
        self._known: dict[int | None, _Known] = {}

    def has(self, tensor: Tensor) -> bool:
        """Return whether anything is known of a tensor; those with data are known."""
        return not tensor.is_meta or storage_key(tensor) in self._known

    def value_of(self, tensor: Tensor) -> Scalar | None:
        """Return what all elements of a tensor are; None where it is unknown or they differ."""
        known = self._known.get(storage_key(tensor))
        if known is not None and known.is_uniform:
            return as_python(tensor.dtype, known.scalar)
        copy = self.copy_of(tensor) if tensor.numel() == 1 else None
        return None if copy is None else copy.item()

    def uniform(self, tensor: Tensor) -> Scalar | None:
        """Return the one value of a storage of any size; None where its elements differ."""
        if not tensor.is_meta:
            return tensor.item() if tensor.numel() == 1 else None
        known = self._known.get(storage_key(tensor))
        return known.scalar if known is not None and known.is_uniform else None

    def table_of(self, tensor: Tensor) -> Table | None:
        """Return the table that is known of a tensor's storage."""
        known = self._known.get(storage_key(tensor))
        return None if known is None else known.table

    def copy_of(self, tensor: Tensor) -> Tensor | None:
        """Return a small tensor with its values; None where they are unknown."""
        if tensor.layout is not torch.strided:
            return None
        if not tensor.is_meta:
            return tensor if is_small(tensor, is_data=True) else None
        known = self._known.get(storage_key(tensor))
        if known is None or not is_small(tensor, known.is_data):
            return None
        if known.table is not None:
            return known.table.copy_of(tensor)
        if known.copy is None:
            return torch.full(tensor.shape, known.scalar, dtype=tensor.dtype)
        view = torch.empty(0, dtype=tensor.dtype)
        return view.set_(known.copy, tensor.storage_offset(), tensor.shape, tensor.stride())

    def is_data(self, tensor: Tensor) -> bool:
        """Return whether a tensor's values are data, or were made of data."""
        if not tensor.is_meta:
            return tensor.dim() > 0
        known = self._known.get(storage_key(tensor))
        return known is not None and known.is_data

    def set_uniform(self, tensor: Tensor, value: Scalar) -> None:
        """Note that all elements of a tensor's storage are alike."""
        self._remember(tensor, _Known(scalar=value))

    def set_table(self, tensor: Tensor, values: Tensor) -> None:
        """Note the values of a large tensor that broadcast to its shape."""
        self._remember(tensor, _Known(table=Table(tensor, values)))

    def set_copy(self, tensor: Tensor, values: Tensor, *, is_data: bool = False) -> None:
        """Note the values of a small tensor that is all of its storage; forget any other's."""
        if not is_small(tensor, is_data) or not is_whole(tensor):
            self.forget(tensor)
            return
        if values.numel() and not tensor.is_complex() and _are_alike(values):
            self.set_uniform(tensor, values.flatten()[0].to(tensor.dtype).item())
            return
        laid_out = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
        laid_out.copy_(values)
        self._remember(tensor, _Known(is_data, copy=laid_out.untyped_storage()))

    def spread(self, tensor: Tensor) -> bool:
        """Give a small uniform storage elements of its own, before one of them is changed.

        Returns:
            Whether the storage has a copy of its elements now.
        """
        known = self._known.get(storage_key(tensor))
        if known is None or known.copy is not None:
            return known is not None
        count = tensor.untyped_storage().nbytes() // tensor.element_size()
        if count > MOST_ELEMENTS:
            return False
        filled = torch.full((count,), known.scalar, dtype=tensor.dtype)
        known.copy = filled.untyped_storage()
        return True

    def forget(self, tensor: Tensor) -> None:
        """Note that nothing is known of a tensor's storage any more."""
        self._known.pop(storage_key(tensor), None)

    def _remember(self, tensor: Tensor, known: _Known) -> None:
        if not tensor.numel() or (tensor.dtype.is_complex and known.copy is None):
            return
        storage, entries = tensor.untyped_storage(), self._known
        key = key_of(storage)
        known.life = weakref.ref(storage, lambda _: entries.pop(key, None))
        entries[key] = known


def as_python(dtype: torch.dtype, value: Scalar) -> Scalar:
    """Return a number as an element of a tensor of the dtype would come out."""
    if dtype is torch.bool:
        return bool(value)
    return float(value) if dtype.is_floating_point else int(value)


def is_small(tensor: Tensor, is_data: bool = False) -> bool:
    """Return whether a tensor's values are kept and computed.

    Args:
        tensor: The tensor.
        is_data: Whether they are data, or made of data.
    """
    if is_data:
        return tensor.numel() <= MOST_DATA[tensor.is_floating_point() or tensor.is_complex()]
    return tensor.numel() <= MOST_ELEMENTS


def is_whole(tensor: Tensor) -> bool:
    """Return whether a tensor is all of its storage."""
    if tensor.layout is not torch.strided:
        return False
    whole = tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
    return whole and tensor.storage_offset() == 0


def _are_alike(values: Tensor) -> bool:
    flat = values.flatten()
    # Most of those that differ do so at the ends: then nothing more is compared.
    return bool(flat[0] == flat[-1]) and bool((flat == flat[0]).all())
