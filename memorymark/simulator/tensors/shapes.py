"""Runs operations on tensors without data, each kind of call only once.

PyTorch's rules for shapes are Python code for many operations and take a hundred microseconds
or more. The layers of a model repeat the same calls, so what came out of one is remembered
and made anew for the next; an operation that works in place is checked once, as PyTorch checks
it, and has nothing to compute after that.
"""

from __future__ import annotations

import contextlib
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from memorymark.memory.storage import storage_key
from memorymark.simulator.torch_compat import operations, schema_of

_MOST_CALLS = 20_000
_META = torch.device("meta")
_WITH_DATA = object()
_NO_KEY = (torch.SymInt, torch.SymFloat, torch.SymBool, dict)
_empty = torch.empty_strided
_CHECKED = object()


class Kind(Enum):
    """What an operation does to storages."""

    IN_PLACE = "writes into its first argument and returns it, or nothing"
    FRESH = "returns tensors with storages of their own"
    OTHER = "views, changes of shape in place, and all else"


class Recipe:
    """What is needed to make a call's tensors again, each with a storage of its own.

    Args:
        kind: tuple or list where a call gives several; None where it gives one tensor.
        parts: Shape, strides and format of each tensor; what is no tensor as it is, in a list.
    """

    __slots__ = ("kind", "parts", "work")

    def __init__(self, kind: type | None, parts: list[Any]) -> None:
        self.kind = kind
        self.parts = parts
        # What the clock found of this call, kept here because it depends on nothing else.
        self.work: Any = None

    def make(self) -> Any:
        """Return new tensors without data."""
        if self.kind is None:
            shape, stride, dtype = self.parts[0]
            return _empty(shape, stride, dtype=dtype, device=_META)
        return self.kind(
            part[0] if type(part) is list
            else _empty(part[0], part[1], dtype=part[2], device=_META)
            for part in self.parts
        )  # fmt: skip


# Their kernels take one type; without data PyTorch does not look.
_OF_ONE_TYPE = operations("mm", "addmm", "bmm", "baddbmm", "addbmm", "mv", "addmv", "dot",
                          "convolution")  # fmt: skip


def check_types(func: Any, args: tuple[Any, ...]) -> None:
    """Refuse what the device's kernels refuse: products of tensors of different types.

    Raises:
        RuntimeError: The types differ.
    """
    if func not in _OF_ONE_TYPE:
        return
    types = dict.fromkeys(x.dtype for x in args if isinstance(x, torch.Tensor))
    if len(types) > 1:
        names = " and ".join(str(each).removeprefix("torch.") for each in types)
        name = schema_of(func).name.partition("::")[2]
        raise RuntimeError(f"expected tensors of one type, but {name} got {names}")


class ShapeCache:
    """Remembers the shapes, strides and formats that came out of calls."""

    def __init__(self) -> None:
        # By identity: torch's operations take long to hash, and are never released.
        self._kinds: dict[int, tuple[Kind, Any]] = {}
        self._recipes: dict[tuple[Any, ...], Any] = {}  # a Recipe; of a call in place, _CHECKED

    def kind_of(self, func: Any) -> Kind:
        """Return what an operation does to storages."""
        found = self._kinds.get(id(func))
        if found is None:
            found = self._kinds[id(func)] = _classify(func), func
        return found[0]

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation on meta tensors, or make the outputs that it gave before."""
        return self.call_with_recipe(func, args, kwargs)[0]

    def call_with_recipe(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, Recipe | None]:
        """Do as `call`, and return the recipe too where the outputs were made by one."""
        found = self._kinds.get(id(func))
        kind = self.kind_of(func) if found is None else found[0]
        if kind is Kind.IN_PLACE and _is_without_data(args[0]):
            self._check_once(func, args, kwargs)
            return (args[0] if schema_of(func).returns else None), None
        key = call_key(func, args, kwargs) if kind is Kind.FRESH else None
        if key is None:
            return func(*args, **kwargs), None
        recipe = self._recipes.get(key)
        if recipe is not None:
            return recipe.make(), recipe
        check_types(func, args)
        output = func(*args, **kwargs)
        self._remember(key, func, args, output)
        return output, None

    def _remember(self, key: Any, func: Any, args: tuple[Any, ...], output: Any) -> None:
        if _shares_storage(output, args):
            self._kinds[id(func)] = Kind.OTHER, func
            return
        recipe = _recipe(output)
        if recipe is not None:
            self._keep(key, recipe)

    def _check_once(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Let PyTorch refuse shapes and formats that do not go together."""
        key = call_key(func, args, kwargs, numbers=False)
        if key is not None and key in self._recipes:
            return
        with contextlib.suppress(NotImplementedError):  # no rule without data, or it needs data
            func(*_one_of_each_kind(func, args), **kwargs)
        if key is not None:
            self._keep(key, _CHECKED)

    def _keep(self, key: tuple[Any, ...], recipe: Any) -> None:
        self._recipes[key] = recipe
        if len(self._recipes) > _MOST_CALLS:
            del self._recipes[next(iter(self._recipes))]


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


def call_key(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, numbers: bool = True
) -> tuple[Any, ...] | None:
    """Return what two calls share that give outputs of the same shapes and formats.

    None where that cannot be said. The parts stand in one row: which positions hold tensors is
    part of an operation's schema, so no two calls of one operation can be mistaken.

    Args:
        func: The operation.
        args: Its arguments.
        kwargs: Its arguments by name.
        numbers: Whether the values of floats are told apart, not only their being there.
    """
    key: list[Any] = [id(func)]
    if not _add_all(args, key, numbers):
        return None
    if kwargs:
        for name, value in kwargs.items():
            key.append(name)
            if not _add_all((value,), key, numbers):
                return None
    return tuple(key)


def _add_all(values: Any, key: list[Any], numbers: bool) -> bool:
    """Add values to a key; False where one of them cannot be compared."""
    for value in values:
        if isinstance(value, Tensor):
            if value.is_meta:
                key += (value.shape, value.stride(), value.dtype)
            elif value.dim():
                return False  # a tensor with data may decide the shape of the output
            else:
                key += (_WITH_DATA, value.dtype)
        elif isinstance(value, tuple | list):
            key.append(len(value))
            if not _add_all(value, key, numbers):
                return False
        elif isinstance(value, _NO_KEY):
            return False
        else:  # 1, 1.0 and True are equal keys, and give outputs of different formats
            key += (type(value), value if numbers or type(value) is not float else None)
    return True


def _one_of_each_kind(func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Leave out, of lists that an operation goes through side by side, what comes again.

    An optimizer's lists have hundreds of parameters of a few shapes, each checked by Python code.
    """
    lists = [x for x in args if isinstance(x, list | tuple)]
    if not schema_of(func).name.startswith("aten::_foreach_") or len({*map(len, lists)}) > 1:
        return args
    kinds: dict[tuple[Any, ...], int] = {}
    for number, row in enumerate(zip(*lists, strict=True)):
        key: list[Any] = []
        if not all(x.is_meta for x in row if isinstance(x, Tensor)):
            return args
        if not _add_all(row, key, numbers=False):
            return args
        kinds.setdefault(tuple(key), number)
    chosen = kinds.values()
    return tuple([x[n] for n in chosen] if isinstance(x, list | tuple) else x for x in args)


def _recipe(output: Any) -> Recipe | None:
    """Return what is needed to make the output again; None where it cannot be."""
    if isinstance(output, Tensor):
        return Recipe(None, [_format(output)]) if _is_plain(output) else None
    if not isinstance(output, tuple | list):
        return None
    if not all(_is_plain(item) for item in output if isinstance(item, Tensor)):
        return None
    parts = [_format(item) if isinstance(item, Tensor) else [item] for item in output]
    return Recipe(type(output), parts)


def _is_plain(tensor: Tensor) -> bool:
    plain = tensor.is_meta and tensor.layout is torch.strided
    return plain and tensor.storage_offset() == 0 and type(tensor) is Tensor


def _format(tensor: Tensor) -> tuple[torch.Size, tuple[int, ...], torch.dtype]:
    return tensor.shape, tensor.stride(), tensor.dtype


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
