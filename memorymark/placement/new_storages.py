"""Tells the storages that code makes from those that were there before it ran.

A new parameter may look into the storage of a live one, as `nn.Parameter(live.weight.data)` does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from memorymark.memory.storage import storage_of
from memorymark.memory.torch_parts import OperationMode, key_of, tree_leaves
from memorymark.placement.ownership import Clones


class NewStorages(OperationMode):
    """Sees which storages are made inside; those that torch makes in silence count as older."""

    def __init__(self) -> None:
        super().__init__()
        self._new: set[int] = set()

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the operation and note the storages that its output has and no input had."""
        given = _keys_in((args, kwargs))
        output = func(*args, **kwargs)
        self._new |= _keys_in(output) - given
        return output

    def replace_older(self, module: nn.Module) -> None:
        """Let parameters and buffers that look into older storages have copies of them."""
        clones = Clones()
        for tensor in {id(x): x for x in (*module.parameters(), *module.buffers())}.values():
            if type(tensor) not in (Tensor, nn.Parameter, nn.Buffer) or tensor.is_meta:
                continue
            storage = storage_of(tensor)
            if storage is not None and key_of(storage) not in self._new:
                with torch.no_grad():
                    tensor.data = clones.of(tensor)


def _keys_in(values: Any) -> set[int]:
    found = (storage_of(x) for x in tree_leaves(values) if isinstance(x, Tensor))
    return {key_of(storage) for storage in found if storage is not None}
