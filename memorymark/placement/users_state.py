"""Keeps what the user's code can write to beside what it is handed, and puts it back.

A copy of a live model runs the code of the original: its classes, the functions that these call,
and the global names, closures and default values that all of them use. Whatever is reached so is
kept as it is: containers, objects and classes of the user's with their members, small tensors and
arrays with their values, counters, generators of random numbers, caches of functools.

Not kept are objects of libraries, what is reached only through them or from C, and what leaves the
process: files, sockets, what is printed. Generators and data loaders cannot be kept; they are
named. What another thread writes to the same objects meanwhile is put back too.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dis
import functools
import queue
import threading
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from memorymark.memory.storage import storage_key
from memorymark.memory.torch_parts import set_version, version_of
from memorymark.placement.kept_values import (
    Restore,
    in_its_place,
    is_used_up,
    kept_attributes,
    kept_cell,
    kept_members,
    kept_names,
    kept_slots,
    slots_of,
)
from memorymark.placement.own_or_library import is_of_a_library, names_in

# Larger containers hold data; members of data are not looked at.
_MOST_MEMBERS = 10_000
_MOST_OBJECTS = 50_000
_MOST_BYTES = 2**26
_CONTAINERS = (
    dict, list, tuple, set, frozenset, collections.deque, types.MappingProxyType
)  # fmt: skip
# Objects of Python's own that people keep values in.
_HOLDERS = (
    types.SimpleNamespace, argparse.Namespace, collections.UserDict, collections.UserList,
    collections.ChainMap, queue.Queue, threading.local, weakref.WeakKeyDictionary,
    weakref.WeakValueDictionary,
)  # fmt: skip
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_STORES = {dis.opmap["STORE_GLOBAL"], dis.opmap["DELETE_GLOBAL"]}


class UsersState:
    """What the user's code can write to, as it is when this is made.

    Args:
        copied: Objects that the code is handed copies of (`placement.copies`): of them only what
            the copies share is kept, their classes and what their functions use.
        guarded: Keys of storages that are guarded otherwise.

    Attributes:
        unkept: Keys of the storages of tensors that are too large to be kept, or on a device.
        used_up: What is not as before where the code takes from it: its name and its kind.
    """

    def __init__(self, copied: Iterable[Any], guarded: Iterable[int | None] = ()) -> None:
        self.unkept: set[int | None] = set()
        self.used_up: dict[str, str] = {}
        self._guarded = set(guarded)
        self._restores: list[Restore] = []
        self._moving: list[tuple[Any, Any, Any]] = []
        self._seen: dict[int, tuple[Any, bool]] = {}
        self._bytes = 0
        waiting = collections.deque([(each, False) for each in copied])
        while waiting and len(self._seen) < _MOST_OBJECTS:
            value, is_live = waiting.popleft()
            if isinstance(value, _PLAIN) or self._is_known(value, is_live):
                continue
            with contextlib.suppress(Exception):  # of an object with tables of its own making
                waiting.extend(self._led_to(value, is_live=is_live))

    def set_aside(self) -> None:
        """Let the code read copies of what moves on by being read."""
        for owner, name, value in self._moving:
            _put(owner, name, in_its_place(value))

    def put_back(self) -> None:
        """Put everything back as it was."""
        with contextlib.ExitStack() as stack:  # where one fails, the others are done all the same
            for restore in self._restores:
                stack.callback(restore)

    def _is_known(self, value: Any, is_live: bool) -> bool:
        known = self._seen.get(id(value))
        self._seen[id(value)] = value, is_live or (known is not None and known[1])
        return known is not None and (known[1] or not is_live)

    def _led_to(self, value: Any, *, is_live: bool) -> Iterator[tuple[Any, bool]]:
        """Keep a value, and yield what it leads to, and whether that is live."""
        if isinstance(value, types.FunctionType):
            yield from ((each, True) for each in self._function(value))
        elif isinstance(value, type):
            yield from ((each, True) for each in self._class(value))
        elif isinstance(value, Tensor):
            if is_live:
                self._tensor(value)
        elif isinstance(value, _WRAPPERS):
            yield from ((each, True) for each in _wrapped_in(value))
        else:
            if is_live or _is_data(value):  # which copies share
                self._keep(value)
            yield from ((each, is_live) for each in self._members(value, is_live=is_live))
            yield type(value), True

    def _function(self, function: types.FunctionType) -> Iterator[Any]:
        names, code = function.__globals__, function.__code__
        if not is_of_a_library(names.get("__name__")):
            used = set(names_in(code))
            yield from self._names(names, used & names.keys() | set(_stored_by(code)), used)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            self._restores.append(kept_cell(cell))
            self._note(cell, "cell_contents", value, name)
            yield value
        yield from function.__defaults__ or ()
        yield from (function.__kwdefaults__ or {}).values()
        yield vars(function)

    def _names(self, namespace: dict[str, Any], names: set[str], used: set[str]) -> Iterator[Any]:
        """Keep names of a module, and those of other modules of the user's behind them."""
        self._restores.append(kept_names(namespace, names))
        for name in names & namespace.keys():
            value = namespace[name]
            if not isinstance(value, types.ModuleType):
                self._note(namespace, name, value, name)
                yield value
            elif not is_of_a_library(value.__name__) and not self._is_known(value, True):
                inner = vars(value)
                yield from self._names(inner, used & inner.keys(), used)

    def _class(self, kind: type) -> Iterator[Any]:
        for each in kind.__mro__:
            if is_of_a_library(each.__module__) or (
                each is not kind and self._is_known(each, True)
            ):
                continue
            self._restores.append(kept_attributes(each))
            for name, value in list(vars(each).items()):
                self._note(each, name, value, f"{each.__name__}.{name}")
                yield value

    def _tensor(self, tensor: Tensor) -> None:
        key = storage_key(tensor)
        if tensor.is_meta or key in self._guarded:
            return
        self._bytes += tensor.numel() * tensor.element_size()
        if tensor.device.type != "cpu" or self._bytes > _MOST_BYTES:
            self.unkept.add(key)
            return
        then, version = tensor.detach().clone(), version_of(tensor)
        gradient = tensor.grad if tensor.is_leaf else None

        def restore() -> None:
            if version_of(tensor) != version:
                tensor.data.copy_(then)
                set_version(tensor, version)
            if tensor.is_leaf and tensor.grad is not gradient:
                tensor.grad = gradient

        self._restores.append(restore)

    def _keep(self, value: Any) -> None:
        restore = kept_members(value)
        if restore is not None:
            self._restores.append(restore)
        if _is_the_users(value):
            if hasattr(value, "__dict__"):
                self._restores.append(kept_members(vars(value)) or _nothing)
            self._restores.append(kept_slots(value))

    def _members(self, value: Any, *, is_live: bool) -> Iterator[Any]:
        if isinstance(value, types.MethodType):
            yield from (value.__self__, value.__func__)
        elif isinstance(value, functools.partial):
            yield from (value.func, value.args, value.keywords)
        elif isinstance(value, _CONTAINERS):
            yield from self._members_of(value, is_live=is_live)
        if _is_the_users(value) and hasattr(value, "__dict__"):
            for name, each in list(vars(value).items()):
                self._note(vars(value), name, each, name, is_live=is_live)
                yield each
        if _is_the_users(value):
            for name, each in slots_of(value).items():
                self._note(value, name, each, name, is_live=is_live)
                yield each

    def _members_of(self, container: Any, *, is_live: bool) -> Iterator[Any]:
        if _is_data(container):
            return
        if isinstance(container, Mapping):
            for key, each in list(container.items()):
                self._note(container, key, each, str(key), is_live=is_live)
                yield each
        else:
            yield from list(container)

    def _note(self, owner: Any, name: Any, value: Any, said: str, *, is_live: bool = True) -> None:
        """Note what moves on by being read, and where it stands; a copy has copies of its own."""
        if in_its_place(value) is not None:
            if is_live:
                self._moving.append((owner, name, value))
        elif is_used_up(value):
            self.used_up[said] = type(value).__name__


_WRAPPERS = (staticmethod, classmethod, property, functools.cached_property,
             functools._lru_cache_wrapper)  # fmt: skip


def _wrapped_in(value: Any) -> Iterator[Any]:
    """Yield the functions in a descriptor or a cache."""
    for name in ("__func__", "fget", "fset", "fdel", "func", "__wrapped__"):
        found = getattr(value, name, None)
        if found is not None:
            yield found


def _is_data(value: Any) -> bool:
    return isinstance(value, _CONTAINERS) and len(value) > _MOST_MEMBERS


def _is_the_users(value: Any) -> bool:
    """Return whether the attributes of an object belong to the user."""
    if isinstance(value, (nn.Module, *_HOLDERS)):
        return True
    return not is_of_a_library(type(value).__module__) and not isinstance(value, type)


def _stored_by(code: types.CodeType) -> Iterator[str]:
    """Yield the global names that code writes, which may not be there yet."""
    if not _STORES.isdisjoint(code.co_code[::2]):
        for each in dis.get_instructions(code):
            if each.opcode in _STORES:
                yield each.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _stored_by(constant)


def _put(owner: Any, name: Any, value: Any) -> None:
    if isinstance(owner, dict):
        owner[name] = value
    else:
        setattr(owner, name, value)


def _nothing() -> None:
    """Put nothing back."""
