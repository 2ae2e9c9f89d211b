"""Answers to questions that a model asks of its data, where there is no data.

Tensors whose elements are all alike (a full attention mask, and what follows from it) keep
their value, so that questions about them get the answer that a full batch would give. Any
other question gets a fixed answer, which is noted as an assumption.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from memorymark.simulator.session import Session

_aten = torch.ops.aten
Scalar = bool | int | float

_FILLS = {
    _aten.ones.default: 1, _aten.ones_like.default: 1, _aten.new_ones.default: 1,
    _aten.zeros.default: 0, _aten.zeros_like.default: 0, _aten.new_zeros.default: 0,
}  # fmt: skip
_FILLS_WITH_ARGUMENT = {
    _aten.full.default: 1, _aten.full_like.default: 1, _aten.new_full.default: 2,
    _aten.fill_.Scalar: 1, _aten.scalar_tensor.default: 0,
}  # fmt: skip
# Reductions and copies under which a uniform value stays what it is.
_KEEPING = {
    _aten.all.default, _aten.all.dim, _aten.any.default, _aten.any.dim, _aten.max.default,
    _aten.min.default, _aten.amax.default, _aten.amin.default, _aten.clone.default,
    _aten._to_copy.default, _aten.mean.default, _aten.index_select.default,
    _aten.constant_pad_nd.default,
}  # fmt: skip


class Answers:
    """Keeps the values of uniform tensors, by storage, and answers questions.

    Args:
        session: Where assumptions are noted.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._uniform: dict[int, Scalar] = {}

    def note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Follow uniform values through an operation."""
        if not isinstance(output, Tensor) or not output.is_meta:
            return
        key = _key(output)
        if func in _FILLS:
            self._uniform[key] = _FILLS[func]
        elif func in _FILLS_WITH_ARGUMENT:
            self._set(key, args[_FILLS_WITH_ARGUMENT[func]])
        elif self._uniform and self._concerns(func, args):
            self._follow(func, args, kwargs, key)

    def forget(self, storage_key: int) -> None:
        """Drop the value of a storage that is released."""
        self._uniform.pop(storage_key, None)

    def item(self, tensor: Tensor) -> Scalar:
        """Answer what the one element of a tensor is."""
        known = self._uniform.get(_key(tensor))
        if known is not None:
            return _as_python(tensor, known)
        answer: Scalar = True if tensor.dtype is torch.bool else 0
        if tensor.is_floating_point():
            answer = 0.0
        self._session.assume(
            f"The model asked for the value of a {str(tensor.dtype).removeprefix('torch.')} "
            f"element; it was told {answer}."
        )
        return answer

    def equal(self, first: Tensor, second: Tensor) -> bool:
        """Answer whether two tensors are equal."""
        if first.shape != second.shape:
            return False
        known, other = self._uniform.get(_key(first)), self._uniform.get(_key(second))
        if known is not None and other is not None:
            return known == other
        self._session.assume("The model asked whether two tensors are equal; it was told yes.")
        return True

    def _concerns(self, func: Any, args: tuple[Any, ...]) -> bool:
        if torch.Tag.pointwise not in func.tags and func not in _KEEPING:
            return False
        return any(isinstance(x, Tensor) and _key(x) in self._uniform for x in args)

    def _follow(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], key: int) -> None:
        unknown = any(isinstance(x, Tensor) and self._value_of(x) is None for x in args)
        if unknown:
            self._uniform.pop(key, None)
            return
        kwargs = {name: value for name, value in kwargs.items() if name != "device"}
        args, kwargs = tree_map(self._small, (args, kwargs))
        try:
            self._set(key, func(*args, **kwargs))
        except (RuntimeError, OverflowError):
            self._uniform.pop(key, None)  # it does not run on one element: no value is known

    def _small(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        return torch.full((1,) * x.dim(), self._value_of(x), dtype=x.dtype)

    def _value_of(self, x: Tensor) -> Scalar | None:
        if not x.is_meta:
            return x.item() if x.numel() == 1 else None
        return self._uniform.get(_key(x))

    def _set(self, key: int, value: Any) -> None:
        if isinstance(value, Tensor):
            value = value.flatten()[0].item() if value.numel() else None
        if isinstance(value, bool | int | float):
            self._uniform[key] = value
        else:
            self._uniform.pop(key, None)


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _as_python(tensor: Tensor, value: Scalar) -> Scalar:
    if tensor.dtype is torch.bool:
        return bool(value)
    return float(value) if tensor.is_floating_point() else int(value)
