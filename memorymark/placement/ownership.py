"""Leaves modules alone that existed before MemoryMark was called: copied, or given back as is.

What is made during a call is the call's own. Anything else is the user's, and may be trained on,
by another thread too. It is known by identity: nothing that was there before the call can have
the identity of what was made in it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from unittest import mock
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from memorymark.memory.torch_parts import set_version, version_of
from memorymark.placement.moving import Twins, let_stay, staying, tensors_of
from memorymark.placement.patches import SharedByThreads

_made: ContextVar[set[int] | None] = ContextVar("made in this call", default=None)
_kept: ContextVar[list[_Kept]] = ContextVar("modules to give back")
# Takes the data of each new parameter, and returns what it is to have.
_with: ContextVar[Callable[[Any], Any] | None] = ContextVar("data of new parameters", default=None)
_built: WeakSet[nn.Module] = WeakSet()


@contextmanager
def watching() -> Iterator[None]:
    """Note what is made on this thread, and give at the end back as it was what was kept."""
    made, kept = _made.set(set()), _kept.set([])
    try:
        with _construction.held(), staying():
            yield
    finally:
        for each in reversed(_kept.get()):
            each.restore()
        _made.reset(made)
        _kept.reset(kept)


@contextmanager
def new_parameters(data: Callable[[Any], Any]) -> Iterator[None]:
    """Let each parameter that is made on this thread have other data."""
    outer = _with.set(data)
    try:
        with _construction.held():
            yield
    finally:
        _with.reset(outer)


def is_live(thing: nn.Module | nn.Parameter | Optimizer) -> bool:
    """Return whether something existed before the call; False outside of `watching`."""
    made = _made.get()
    return made is not None and id(thing) not in made


def has_live_parts(module: nn.Module) -> bool:
    """Return whether any part or parameter of a module existed before the call."""
    parameters = (p for p in module.parameters() if type(p) is nn.Parameter)
    return any(is_live(each) for each in (*module.modules(), *parameters))


def comes_again(module: nn.Module) -> bool:
    """Return whether this very module was built before; False outside of `watching`."""
    again = module in _built
    _built.add(module)
    return again and _made.get() is not None


def keep(module: nn.Module, *, with_data: bool) -> None:
    """Have a module given back as it is now when `watching` ends.

    Args:
        module: The module; it stays the object that it is.
        with_data: Whether it is trained meanwhile, on copies of its tensors' data.
    """
    if not is_kept(module) and _made.get() is not None:
        _kept.get().append(_Kept(module, with_data=with_data))


def is_kept(module: nn.Module) -> bool:
    """Return whether a module is given back when the call ends."""
    return any(each.module is module for each in _kept.get([]))


class Clones(Twins):
    """Gives each storage a copy of it, where it is."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))

    def of(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the same values; shared storages stay shared."""
        self.device = tensor.device
        return super().of(tensor)

    def make(self, storage: torch.UntypedStorage) -> torch.UntypedStorage:
        """Return a copy of a storage."""
        return super().make(storage) if storage.device.type == "meta" else storage.clone()


class _Kept:
    """A module as it was."""

    def __init__(self, module: nn.Module, *, with_data: bool) -> None:
        self.module = module
        self._parts = [
            (vars(part), dict(vars(part)), [(x, x.copy()) for x in vars(part).values()
                                            if isinstance(x, dict)])
            for part in module.modules()
        ]  # fmt: skip
        tensors = {id(tensor): tensor for tensor in tensors_of(module)}.values()
        self._tensors = [
            (x, x.data, x.requires_grad, x.grad if x.is_leaf else None, version_of(x))
            for x in tensors
        ]
        clones = Clones()
        let_stay(tensors)
        for tensor in tensors:
            if tensor.is_leaf:
                tensor.grad = None
            if with_data:
                tensor.data = clones.of(tensor)

    def restore(self) -> None:
        for table, values, inner in self._parts:
            table.clear()
            table.update(values)
            for each, entries in inner:
                each.clear()
                each.update(entries)
        for tensor, data, requires_grad, gradient, version in self._tensors:
            with contextlib.suppress(RuntimeError):
                tensor.grad = None if tensor.is_leaf else tensor.grad
                tensor.data = data
                if tensor.is_leaf:
                    tensor.requires_grad_(requires_grad)
                    tensor.grad = gradient
                set_version(tensor, version)


def like(tensor: Tensor, twins: Twins) -> Tensor:
    """Return the twin of a tensor, a parameter where it is one, without gradient and hooks."""
    with torch.no_grad():
        twin = twins.of(tensor)
    if isinstance(tensor, nn.Parameter):
        twin = nn.Parameter(twin, tensor.requires_grad)
        if type(twin) is not type(tensor):
            twin.__class__ = type(tensor)
    elif tensor.is_leaf:
        twin.requires_grad_(tensor.requires_grad)
    twin.__dict__.update(tensor.__dict__)
    return twin


@contextmanager
def _noted_construction() -> Iterator[None]:
    new = nn.Parameter.__new__

    def make_parameter(
        cls: type[nn.Parameter], data: Any = None, requires_grad: bool = True
    ) -> nn.Parameter:
        change = _with.get()
        made = new(cls, data if change is None else change(data), requires_grad)
        note_made(made)
        return made

    with contextlib.ExitStack() as stack:
        for kind in (nn.Module, Optimizer):
            for name in ("__init__", "__setstate__"):
                replacement = _noting(getattr(kind, name))
                stack.enter_context(mock.patch.object(kind, name, replacement))
        parameter = mock.patch.object(nn.Parameter, "__new__", staticmethod(make_parameter))
        stack.enter_context(parameter)
        yield


def _noting(function: Callable[..., None]) -> Callable[..., None]:
    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        note_made(self)
        function(self, *args, **kwargs)

    return functools.wraps(function)(noted)


def note_made(thing: object) -> None:
    """Note that a thing was made in this call, and is no live one."""
    made = _made.get()
    if made is not None:
        made.add(id(thing))


_construction = SharedByThreads(_noted_construction)
