"""Computes with the values that are known of tensors without data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memorymark.memory.torch_parts import tree_map
from memorymark.simulator.tensors.effects import keeps_uniform, works_elementwise
from memorymark.simulator.tensors.known_values import (
    KnownValues,
    Scalar,
    as_python,
    is_small,
)
from memorymark.simulator.torch_compat import operation

_CUMSUM = operation("aten::cumsum")


class _UnknownValue(Exception):
    """An input's values are not known."""


class ComputedValues(KnownValues):
    """Runs operations for real on what is known of their inputs."""

    def __init__(self) -> None:
        super().__init__()
        self._keeps_values = False

    def _uniform_result(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> Scalar | None:
        """Return the value of a result that is uniform because all of its inputs are."""
        if not keeps_uniform(func):
            return None
        if any(isinstance(x, Tensor) and self.uniform(x) is None for x in args):
            return None
        small = tree_map(self._one_element, (args, on_host(kwargs)))
        result = attempt(func, *small)
        if not isinstance(result, Tensor) or result.numel() != 1 or result.is_complex():
            return None
        return result.item()

    def _uniform_sum(self, tensor: Tensor, output: Tensor) -> Scalar | None:
        """Return what each sum of a uniform tensor comes to."""
        value = self.uniform(tensor)
        if value is None or not output.numel():
            return None
        return as_python(output.dtype, value * (tensor.numel() // output.numel()))

    def _count_along(self, tensor: Tensor, dim: int, output: Tensor) -> None:
        """Note the sums along one dimension of a uniform tensor: a mask's positions."""
        shape = [1] * tensor.dim()
        shape[dim] = tensor.size(dim)
        values = torch.full(shape, self.uniform(tensor), dtype=output.dtype)
        if is_small(values, is_data=True):
            self.set_table(output, values.cumsum(dim))

    def _one_element(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        return torch.full((1,) * x.dim(), self.uniform(x), dtype=x.dtype)

    def _compute(self, func: Any, args: tuple[Any, ...], kwargs: Any, output: Any) -> None:
        outputs = output if isinstance(output, tuple | list) else (output,)
        is_data = self._are_data(args)
        if not any(is_meta(x) and x.numel() and is_small(x, is_data) for x in outputs):
            self._compute_table(func, args, kwargs, output)
            return
        results = self._run(func, args, kwargs)
        if results is None:
            return
        results = results if isinstance(results, tuple | list) else (results,)
        for tensor, values in zip(outputs, results, strict=False):
            if is_meta(tensor) and tensor.shape == values.shape:
                self.set_copy(tensor, values, is_data=is_data)

    def _are_data(self, args: tuple[Any, ...]) -> bool:
        if self._keeps_values:
            return True
        for x in args:
            for tensor in x if isinstance(x, list | tuple) else (x,):
                if isinstance(tensor, Tensor) and self.is_data(tensor):
                    return True
        return False

    def _compute_table(self, func: Any, args: tuple[Any, ...], kwargs: Any, output: Any) -> None:
        """Compute elementwise on what broadcasts to the inputs."""
        if func is _CUMSUM and self.uniform(args[0]) is not None and isinstance(output, Tensor):
            self._count_along(args[0], int(args[1]), output)
            return
        if not works_elementwise(func):
            return
        try:
            small, kwargs = tree_map(self._compact, (args, on_host(kwargs)))
        except _UnknownValue:
            return
        values = attempt(func, small, kwargs)
        if isinstance(values, Tensor) and is_small(values):
            self.set_table(output, values)

    def _compact(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        if x.is_meta and self.uniform(x) is not None:
            return self._one_element(x)
        table = self.table_of(x)
        values = None if table is None else table.compact(x)
        return self._copy(_without_repeats(x)) if values is None else values

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        """Run an operation on the known values; None where one of them is not known."""
        try:
            args, kwargs = tree_map(self._copy, (args, on_host(kwargs)))
        except _UnknownValue:
            return None
        return attempt(func, args, kwargs)

    def _copy(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        copy = self.copy_of(x)
        if copy is None:
            raise _UnknownValue
        return copy


def on_host(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return an operation's options without the device that they name."""
    if "device" not in kwargs:
        return kwargs
    return {name: value for name, value in kwargs.items() if name not in ("device", "pin_memory")}


def attempt(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run an operation for real; None where it does not run on these values."""
    try:
        result = func(*args, **kwargs)
    except (RuntimeError, OverflowError, IndexError, TypeError, ValueError):
        return None
    return args[0] if result is None else result


def _without_repeats(tensor: Tensor) -> Tensor:
    """Return one element for all along the dimensions that an expansion has made."""
    return tensor[tuple(slice(0, 1) if s == 0 else slice(None) for s in tensor.stride())]


def is_meta(x: Any) -> bool:
    """Return whether something is a tensor without data."""
    return isinstance(x, Tensor) and x.is_meta
