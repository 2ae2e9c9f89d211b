"""Runs operations on tensors without data, each kind of call only once.

PyTorch's rules for shapes are Python code for many operations and take a hundred microseconds
or more. The layers of a model repeat the same calls, so what came out of one is remembered
and made anew for the next; an operation that works in place is checked once, as PyTorch checks
it, and has nothing to compute after that.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from memorymark.memory.storage import storage_key
from memorymark.simulator.torch_compat import schema_of

_MOST_CALLS = 20_000
_CHECKED = object()


class Kind(Enum):
    """What an operation does to storages."""

    IN_PLACE = "writes into its first argument and returns it, or nothing"
    FRESH = "returns tensors with storages of their own"
    OTHER = "views, changes of shape in place, and all else"


class _NoKey(Exception):
    """The arguments hold something that cannot be compared."""


class ShapeCache:
    """Remembers the shapes, strides and formats that came out of calls."""

    def __init__(self) -> None:
        self._kinds: dict[Any, Kind] = {}
        self._calls: OrderedDict[Hashable, Any] = OrderedDict()

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation on meta tensors, or make the outputs that it gave before."""
        kind = self._kinds.get(func)
        if kind is None:
            kind = self._kinds[func] = _classify(func)
        if kind is Kind.IN_PLACE and _is_without_data(args[0]):
            self._check_once(func, args, kwargs)
            return args[0] if schema_of(func).returns else None
        if kind is not Kind.FRESH:
            return func(*args, **kwargs)
        return self._call_fresh(func, args, kwargs)

    def _check_once(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Let PyTorch refuse shapes and formats that do not go together."""
        try:
            key = (func, _key(args), _key(tuple(kwargs.items())))
        except _NoKey:
            key = None
        if key is not None and key in self._calls:
            return
        with contextlib.suppress(NotImplementedError):  # no rule without data, or it needs data
            func(*args, **kwargs)
        if key is not None:
            self._keep(key, _CHECKED)

    def _call_fresh(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            key = (func, _key(args), _key(tuple(kwargs.items())))
        except _NoKey:
            return func(*args, **kwargs)
        recipe = self._calls.get(key)
        if recipe is not None:
            return _make(recipe)
        output = func(*args, **kwargs)
        if _shares_storage(output, args):
            self._kinds[func] = Kind.OTHER
            return output
        recipe = _recipe(output)
        if recipe is not None:
            self._keep(key, recipe)
        return output

    def _keep(self, key: Hashable, recipe: Any) -> None:
        self._calls[key] = recipe
        if len(self._calls) > _MOST_CALLS:
            self._calls.popitem(last=False)


def _classify(func: Any) -> Kind:
    schema = schema_of(func)
    if func.is_view or torch.Tag.inplace_view in func.tags:
        return Kind.OTHER
    if schema.is_mutable:
        name = schema.name.partition("::")[2]
        works_in_place = name.endswith("_") and not name.startswith(("resize", "set_"))
        return Kind.IN_PLACE if works_in_place and len(schema.returns) <= 1 else Kind.OTHER
    if any(returned.alias_info is not None for returned in schema.returns):
        return Kind.OTHER
    return Kind.FRESH


def _key(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        if not value.is_meta and value.dim():
            raise _NoKey  # a tensor with data may decide the shape of the output
        return (value.shape, value.stride(), value.dtype, value.device.type)
    if isinstance(value, tuple | list):
        return tuple([_key(item) for item in value])
    if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool | dict):
        raise _NoKey
    # 1, 1.0 and True are equal keys, and give outputs of different formats.
    return (type(value), value)


def _recipe(output: Any) -> Any:
    """Return what is needed to make the output again; None where it cannot be."""
    if isinstance(output, Tensor):
        plain = output.is_meta and output.layout is torch.strided
        whole = plain and output.storage_offset() == 0 and type(output) is Tensor
        return (output.shape, output.stride(), output.dtype) if whole else None
    if isinstance(output, tuple | list):
        parts = [_recipe(item) if isinstance(item, Tensor) else _Plain(item) for item in output]
        return None if any(part is None for part in parts) else _Parts(type(output), parts)
    return None


class _Plain:
    """A part of an output that is no tensor."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Parts:
    """An output of several parts."""

    def __init__(self, kind: type, parts: list[Any]) -> None:
        self.kind = kind
        self.parts = parts


def _make(recipe: Any) -> Any:
    if isinstance(recipe, tuple):
        shape, stride, dtype = recipe
        return torch.empty_strided(shape, stride, dtype=dtype, device="meta")
    if isinstance(recipe, _Plain):
        return recipe.value
    return recipe.kind(_make(part) for part in recipe.parts)


def _shares_storage(output: Any, args: Any) -> bool:
    inputs = {storage_key(x) for x in _tensors(args)}
    return any(storage_key(x) in inputs for x in _tensors(output))


def _is_without_data(target: Any) -> bool:
    if isinstance(target, list | tuple):
        return bool(target) and _is_without_data(target[0])
    return isinstance(target, Tensor) and target.is_meta


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in _tensors(item)]
    return []
