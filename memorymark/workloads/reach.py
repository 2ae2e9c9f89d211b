"""Finds modules and tensors that the user's functions refer to, beside the model."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from memorymark.placement.own_or_library import names_in

# Beyond it, objects hold one another in ways that are no part of a training step.
_DEEPEST = 6


@dataclass(frozen=True)
class Reached:
    """What functions refer to.

    Attributes:
        modules: Modules that no other of them holds.
        tensors: Tensors that belong to none of the modules.
    """

    modules: tuple[nn.Module, ...]
    tensors: tuple[Tensor, ...]


def reached_from(roots: Iterable[Any], *, beside: nn.Module | None = None) -> Reached:
    """Return the modules and tensors that functions and objects refer to.

    Closures, default values, bound objects and the global names that a function uses are
    followed, and containers; objects of libraries are not.

    Args:
        roots: Where to start.
        beside: A module that is left out, with its parts and tensors.
    """
    search = _Search()
    if beside is not None:
        search.seen.update(id(part) for part in beside.modules())
        search.seen.update(id(tensor) for tensor in (*beside.parameters(), *beside.buffers()))
        roots = (*roots, *_hidden_in(beside))
    for root in roots:
        search.visit(root, 0)
    owned = {id(part) for module in search.modules for part in list(module.modules())[1:]}
    outer = tuple(module for module in search.modules if id(module) not in owned)
    held = {id(x) for module in outer for x in (*module.parameters(), *module.buffers())}
    return Reached(outer, tuple(x for x in search.tensors if id(x) not in held))


def holds(found: Reached, model: nn.Module) -> bool:
    """Return whether any part or tensor of a model is among what was found."""
    of_model = {id(each) for each in (*model.modules(), *model.parameters(), *model.buffers())}
    parts = [part for module in found.modules for part in module.modules()]
    tensors = [x for module in found.modules for x in (*module.parameters(), *module.buffers())]
    return any(id(each) in of_model for each in (*parts, *tensors, *found.tensors))


def _hidden_in(module: nn.Module) -> Iterator[Any]:
    """Yield containers of a module's parts, in which modules are kept from being registered."""
    for part in module.modules():
        for name, value in vars(part).items():
            if not name.startswith("_") and isinstance(value, list | tuple | dict):
                yield from (each for each in _references(value) if isinstance(each, nn.Module))


class _Search:
    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.kept: list[Any] = []  # keeps what was made on the way, so that ids stay its own
        self.modules: list[nn.Module] = []
        self.tensors: list[Tensor] = []

    def visit(self, value: Any, depth: int) -> None:
        if depth > _DEEPEST or id(value) in self.seen or isinstance(value, _PLAIN):
            return
        self.seen.add(id(value))
        self.kept.append(value)
        if isinstance(value, nn.Module):
            self.modules.append(value)
        elif isinstance(value, Tensor):
            self.tensors.append(value)
        else:
            for each in _references(value):
                self.visit(each, depth + 1)


_PLAIN = (str, bytes, int, float, complex, type(None), type, types.ModuleType)


def _references(value: Any) -> Iterator[Any]:
    if isinstance(value, types.FunctionType):
        yield from _references_of_function(value)
    elif isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif _is_the_users(type(value)):
        yield from getattr(value, "__dict__", {}).values()
        yield vars(type(value)).get("__call__")


def _references_of_function(function: Callable[..., Any]) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None:
        yield wrapped
    if not _is_of_a_library(function.__module__):
        for name in names_in(function.__code__):
            yield function.__globals__.get(name)


def _is_the_users(kind: type) -> bool:
    return not _is_of_a_library(kind.__module__)


def _is_of_a_library(module: str | None) -> bool:
    first = (module or "").partition(".")[0]
    return first in ("torch", "numpy", "builtins", "memorymark", "transformers", "collections")
