"""The values of tensors without data, where they follow from the model's code alone.

Three kinds are known, each by storage: tensors whose elements are all alike, of any size (a full
attention mask), small tensors made from constants (positions, window sizes, tables of indices),
and large tensors of few values that repeat (`tables.py`). What operations make of them is
computed for real, beside the run without data.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from enum import Enum
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from memorymark.simulator.tensors.tables import Table

_aten = torch.ops.aten
Scalar = bool | int | float

# Larger tensors are not computed: a table of positions is small, an activation is not.
MOST_ELEMENTS = 16_384

_FILLS = {
    _aten.ones.default: 1, _aten.ones_like.default: 1, _aten.new_ones.default: 1,
    _aten.zeros.default: 0, _aten.zeros_like.default: 0, _aten.new_zeros.default: 0,
}  # fmt: skip
_FILLS_WITH_ARGUMENT = {
    _aten.full.default: 1, _aten.full_like.default: 1, _aten.new_full.default: 2,
    _aten.scalar_tensor.default: 0,
}  # fmt: skip
# Reductions and copies under which a uniform value stays what it is.
_KEEPING = {
    _aten.all.default, _aten.all.dim, _aten.any.default, _aten.any.dim, _aten.max.default,
    _aten.min.default, _aten.amax.default, _aten.amin.default, _aten.clone.default,
    _aten._to_copy.default, _aten.mean.default, _aten.index_select.default,
}  # fmt: skip
_COPYING = {_aten.clone.default, _aten._to_copy.default}
_OVERWRITING = {
    _aten.fill_.Scalar, _aten.fill_.Tensor, _aten.zero_.default, _aten.copy_.default,
}  # fmt: skip


class _Kind(Enum):
    """How an operation passes values on."""

    FILL = "makes a uniform tensor"
    MAKE = "makes a tensor from plain numbers"
    FOLLOW = "computes with tensors"
    OVERWRITE = "replaces all values of its first argument"
    FORGET = "writes what nobody knows"
    NONE = "a view, or memory that holds nothing yet"


class Values:
    """Keeps what is known of tensors without data, as long as their storages live."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._kinds: dict[Any, _Kind] = {}
        self._mutable: dict[Any, bool] = {}

    def note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Follow values through an operation that has run without data."""
        kind = self._kinds.get(func)
        if kind is None:
            kind = self._kinds[func] = _kind_of(func)
            self._mutable[func] = func._schema.is_mutable
        if kind is _Kind.FOLLOW:
            if self._concerns(func, args):
                self._follow(func, args, kwargs, output)
        elif kind is _Kind.OVERWRITE:
            self._overwrite(func, args, kwargs)
        elif kind is _Kind.FILL:
            self._fill(func, args, output)
        elif kind is _Kind.MAKE:
            self._compute(func, args, kwargs, output)
        elif kind is _Kind.FORGET:
            self._forget_all(args)

    def value_of(self, tensor: Tensor) -> Scalar | None:
        """Return what all elements of a tensor are; None where it is unknown or they differ."""
        known = self._known.get(_key(tensor))
        if known is not None and known.is_uniform:
            return _as_python(tensor.dtype, known.scalar)
        copy = self.copy_of(tensor) if tensor.numel() == 1 else None
        return None if copy is None else copy.item()

    def copy_of(self, tensor: Tensor) -> Tensor | None:
        """Return a small tensor with its values; None where they are unknown."""
        if tensor.numel() > MOST_ELEMENTS or tensor.layout is not torch.strided:
            return None
        if not tensor.is_meta:
            return tensor
        known = self._known.get(_key(tensor))
        if known is None:
            return None
        if known.table is not None:
            return known.table.copy_of(tensor)
        if known.copy is None:
            return torch.full(tensor.shape, known.scalar, dtype=tensor.dtype)
        view = torch.empty(0, dtype=tensor.dtype)
        return view.set_(known.copy, tensor.storage_offset(), tensor.shape, tensor.stride())

    def set_copy(self, tensor: Tensor, values: Tensor) -> None:
        """Say what the values of a tensor are."""
        if tensor.numel() > MOST_ELEMENTS or not _is_whole(tensor):
            self._forget(tensor)
            return
        if values.numel() and not tensor.is_complex() and _are_alike(values):
            self._remember(tensor, _Known(scalar=values.flatten()[0].to(tensor.dtype).item()))
            return
        laid_out = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
        laid_out.copy_(values)
        self._remember(tensor, _Known(copy=laid_out.untyped_storage()))

    def _concerns(self, func: Any, args: tuple[Any, ...]) -> bool:
        """Return whether values are known of all inputs, or of one that may be written to."""
        mutable, found = self._mutable[func], False
        for x in args:
            for tensor in x if isinstance(x, list | tuple) else (x,):
                if not isinstance(tensor, Tensor):
                    continue
                if not tensor.is_meta or _key(tensor) in self._known:
                    found = True
                elif not mutable:
                    return False
        return found

    def _follow(self, func: Any, args: tuple[Any, ...], kwargs: Any, output: Any) -> None:
        if self._mutable[func]:
            self._follow_in_place(func, args, kwargs)
        elif isinstance(output, Tensor) and output.is_meta:
            value = self._uniform_result(func, args, kwargs)
            if value is None:
                self._compute(func, args, kwargs, output)
            else:
                self._remember(output, _Known(scalar=value))
        elif isinstance(output, tuple | list):
            self._compute(func, args, kwargs, output)

    def _follow_in_place(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        target = args[0]
        if not isinstance(target, Tensor):
            self._forget_all(args)
            return
        value = self._uniform_result(func, args, kwargs) if _is_whole(target) else None
        if value is not None:
            self._remember(target, _Known(scalar=value))
        elif self._is_table(target):
            self._write_view(func, args, kwargs)
        elif not (self._spread(target) and self._run(func, args, kwargs) is not None):
            self._forget(target)

    def _is_table(self, tensor: Tensor) -> bool:
        known = self._known.get(_key(tensor))
        return known is not None and known.table is not None

    def _write_view(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        """Know, of a table that is written to, no more than the view that was written."""
        values = self._run(func, args, kwargs)
        self._forget(args[0])
        if isinstance(values, Tensor):
            self._remember(args[0], _Known(table=Table(args[0], values)))

    def _overwrite(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        target, source = args[0], args[1] if len(args) > 1 else 0
        if not _is_meta(target):
            return
        if not _is_whole(target):
            self._follow_in_place(func, args, kwargs)
            return
        value = self._uniform(source) if isinstance(source, Tensor) else source
        copy = self.copy_of(source) if isinstance(source, Tensor) else None
        self._forget(target)
        if isinstance(value, bool | int | float):
            self._remember(target, _Known(scalar=_as_python(target.dtype, value)))
        elif copy is not None and target.numel() <= MOST_ELEMENTS:
            self.set_copy(target, copy.expand(target.shape))

    def _spread(self, target: Tensor) -> bool:
        """Give a small uniform storage elements of its own, before one of them is changed."""
        known = self._known.get(_key(target))
        if known is None or known.copy is not None:
            return known is not None
        count = target.untyped_storage().nbytes() // target.element_size()
        if count > MOST_ELEMENTS:
            return False
        filled = torch.full((count,), known.scalar, dtype=target.dtype)
        known.copy = filled.untyped_storage()
        return True

    def _uniform_result(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> Scalar | None:
        """Return the value of a result that is uniform because all of its inputs are."""
        if torch.Tag.pointwise not in func.tags and func not in _KEEPING:
            return None
        if any(isinstance(x, Tensor) and self._uniform(x) is None for x in args):
            return None
        small = tree_map(self._one_element, (args, _on_host(kwargs)))
        result = _try(func, *small)
        if not isinstance(result, Tensor) or result.numel() != 1 or result.is_complex():
            return None
        return result.item()

    def _uniform(self, x: Tensor) -> Scalar | None:
        if not x.is_meta:
            return x.item() if x.numel() == 1 else None
        known = self._known.get(_key(x))
        return known.scalar if known is not None and known.is_uniform else None

    def _one_element(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        return torch.full((1,) * x.dim(), self._uniform(x), dtype=x.dtype)

    def _compute(self, func: Any, args: tuple[Any, ...], kwargs: Any, output: Any) -> None:
        outputs = output if isinstance(output, tuple | list) else (output,)
        if not any(_is_meta(x) and 0 < x.numel() <= MOST_ELEMENTS for x in outputs):
            self._compute_table(func, args, kwargs, output)
            return
        results = self._run(func, args, kwargs)
        if results is None:
            return
        results = results if isinstance(results, tuple | list) else (results,)
        for tensor, values in zip(outputs, results, strict=False):
            if _is_meta(tensor) and tensor.shape == values.shape:
                self.set_copy(tensor, values)

    def _compute_table(self, func: Any, args: tuple[Any, ...], kwargs: Any, output: Any) -> None:
        """Compute elementwise on what broadcasts to the inputs."""
        if torch.Tag.pointwise not in func.tags and func not in _COPYING:
            return
        try:
            small, kwargs = tree_map(self._compact, (args, _on_host(kwargs)))
        except _UnknownValue:
            return
        values = _try(func, small, kwargs)
        if isinstance(values, Tensor) and values.numel() <= MOST_ELEMENTS:
            self._remember(output, _Known(table=Table(output, values)))

    def _compact(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        known = self._known.get(_key(x))
        if known is not None and known.is_uniform:
            return self._one_element(x)
        if known is not None and known.table is not None:
            values = known.table.compact(x)
            if values is not None:
                return values
        return self._copy(_without_repeats(x))

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        """Run an operation on the known values; None where one of them is not known."""
        try:
            args, kwargs = tree_map(self._copy, (args, _on_host(kwargs)))
        except _UnknownValue:
            return None
        return _try(func, args, kwargs)

    def _copy(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        copy = self.copy_of(x)
        if copy is None:
            raise _UnknownValue
        return copy

    def _fill(self, func: Any, args: tuple[Any, ...], output: Tensor) -> None:
        if not output.is_meta:
            return
        position = _FILLS_WITH_ARGUMENT.get(func)
        value = _FILLS[func] if position is None else args[position]
        if isinstance(value, bool | int | float):
            self._remember(output, _Known(scalar=_as_python(output.dtype, value)))

    def _remember(self, tensor: Tensor, known: _Known) -> None:
        if not tensor.numel() or (tensor.dtype.is_complex and known.copy is None):
            return
        storage = tensor.untyped_storage()
        key, entries = storage._cdata, self._known
        known.life = weakref.ref(storage, lambda _: entries.pop(key, None))
        entries[key] = known

    def _forget(self, tensor: Tensor) -> None:
        self._known.pop(_key(tensor), None)

    def _forget_all(self, args: tuple[Any, ...]) -> None:
        for x in args:
            for tensor in x if isinstance(x, list | tuple) else (x,):
                if _is_meta(tensor):
                    self._forget(tensor)


class _Known:
    """What is known of one storage: one value for all elements, a copy of them, or a table."""

    __slots__ = ("copy", "life", "scalar", "table")

    def __init__(
        self,
        scalar: Scalar = 0,
        copy: torch.UntypedStorage | None = None,
        table: Table | None = None,
    ) -> None:
        self.scalar = scalar
        self.copy = copy
        self.table = table
        self.life: Any = None

    @property
    def is_uniform(self) -> bool:
        """Whether all elements are alike."""
        return self.copy is None and self.table is None


class _UnknownValue(Exception):
    """An input's values are not known."""


def _kind_of(func: Any) -> _Kind:
    if func in _FILLS or func in _FILLS_WITH_ARGUMENT:
        return _Kind.FILL
    schema = func._schema
    random = torch.Tag.nondeterministic_seeded in func.tags
    if func in _OVERWRITING:
        return _Kind.OVERWRITE
    if func.is_view or (random and not schema.is_mutable):
        return _Kind.NONE
    if schema.is_mutable:
        works_in_place = schema.name.endswith("_") and not random
        return _Kind.FOLLOW if works_in_place else _Kind.FORGET
    if any("Tensor" in str(argument.type) for argument in schema.arguments):
        return _Kind.FOLLOW
    return _Kind.NONE if "empty" in schema.name else _Kind.MAKE


def _on_host(kwargs: dict[str, Any]) -> dict[str, Any]:
    if "device" not in kwargs:
        return kwargs
    return {name: value for name, value in kwargs.items() if name not in ("device", "pin_memory")}


def _try(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    try:
        result = func(*args, **kwargs)
    except (RuntimeError, OverflowError, IndexError, TypeError, ValueError):
        return None  # it does not run on these values, or not on the host
    return args[0] if result is None else result


def _without_repeats(tensor: Tensor) -> Tensor:
    """Return one element for all along the dimensions that an expansion has made."""
    return tensor[tuple(slice(0, 1) if s == 0 else slice(None) for s in tensor.stride())]


def _are_alike(values: Tensor) -> bool:
    return bool((values == values.flatten()[0]).all())


def _is_meta(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_meta


def _is_whole(tensor: Tensor) -> bool:
    """Return whether a tensor is all of its storage."""
    whole = tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
    return whole and tensor.storage_offset() == 0


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _as_python(dtype: torch.dtype, value: Scalar) -> Scalar:
    if dtype is torch.bool:
        return bool(value)
    return float(value) if dtype.is_floating_point else int(value)
