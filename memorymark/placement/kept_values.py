"""How each kind of object is put back as it was, by itself, its members not looked at.

What can be written to is filled again with the members that it had. What only moves on when it is
read, such as `itertools.count`, gives way to a copy meanwhile, wherever it stands.
"""

from __future__ import annotations

import array
import collections
import copy
import functools
import io
import itertools
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

Restore = Callable[[], None]

_MISSING = object()
_LARGEST_ARRAY_BYTES = 2**24
# Classes keep these for themselves.
_OF_CLASSES = ("__dict__", "__weakref__", "__abstractmethods__")
_FORKED = (
    itertools.count, type(iter([])), type(iter(())), type(iter(range(0))), type(iter("")),
)  # fmt: skip


def kept_members(value: Any) -> Restore | None:
    """Return what puts the members of a container or a state back; None where there are none."""
    for kinds, keep in _KEEPERS:
        if isinstance(value, kinds):
            return keep(value)
    if "numpy" in sys.modules:
        return _kept_of_numpy(value)
    return None


def kept_names(namespace: dict[str, Any], names: set[str]) -> Restore:
    """Return what puts some names of a namespace back, those that are not there yet, too."""
    then = {name: namespace.get(name, _MISSING) for name in names}

    def restore() -> None:
        for name, value in then.items():
            if value is _MISSING:
                namespace.pop(name, None)
            elif namespace.get(name, _MISSING) is not value:
                namespace[name] = value

    return restore


def kept_attributes(kind: type) -> Restore:
    """Return what puts the attributes of a class back."""
    then = {name: each for name, each in vars(kind).items() if name not in _OF_CLASSES}

    def restore() -> None:
        now = dict(vars(kind))
        for name in now.keys() - then.keys() - set(_OF_CLASSES):
            delattr(kind, name)
        for name, value in then.items():
            if now.get(name, _MISSING) is not value:
                setattr(kind, name, value)

    return restore


def kept_slots(value: Any) -> Restore:
    """Return what puts the slots of an object back."""
    names, then = _slot_names(value), slots_of(value)

    def restore() -> None:
        for name in names:
            if name not in then and hasattr(value, name):
                delattr(value, name)
            elif name in then and getattr(value, name, _MISSING) is not then[name]:
                setattr(value, name, then[name])

    return restore


def slots_of(value: Any) -> dict[str, Any]:
    """Return what the slots of an object hold, by their names."""
    return {name: getattr(value, name) for name in _slot_names(value) if hasattr(value, name)}


def kept_cell(cell: Any) -> Restore:
    """Return what puts the content of a closure's cell back."""
    then = cell.cell_contents

    def restore() -> None:
        cell.cell_contents = then

    return restore


def in_its_place(value: Any) -> Any:
    """Return what to read in the place of something that moves on by being read, else None."""
    if isinstance(value, staticmethod | classmethod):
        inner = in_its_place(value.__func__)
        return None if inner is None else type(value)(inner)
    if isinstance(value, functools._lru_cache_wrapper):
        return functools.lru_cache(**value.cache_parameters())(value.__wrapped__)
    if type(value) in _FORKED:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.14 has no copies of those of itertools
            return copy.copy(value)
    return None


def is_used_up(value: Any) -> bool:
    """Return whether something is an iterator that moves on and has no copy."""
    is_iterator = isinstance(value, Iterator) and not isinstance(value, io.IOBase)
    return is_iterator and type(value) not in _FORKED


def _slot_names(value: Any) -> list[str]:
    return [name for kind in type(value).__mro__ for name in _slots_of(kind)]


def _slots_of(kind: type) -> tuple[str, ...]:
    found = vars(kind).get("__slots__", ())
    names = (found,) if isinstance(found, str) else tuple(found)
    return tuple(name for name in names if name not in _OF_CLASSES)


def _kept_table(table: dict[Any, Any]) -> Restore:
    then = list(table.items())
    of = collections.OrderedDict if isinstance(table, collections.OrderedDict) else dict

    def restore() -> None:
        now = list(table.items())
        if len(now) == len(then) and all(
            one is key and two is value for (one, two), (key, value) in zip(now, then, strict=True)
        ):
            return
        of.clear(table)
        for key, value in then:
            of.__setitem__(table, key, value)

    return restore


def _kept_list(value: list[Any]) -> Restore:
    then = list(value)

    def restore() -> None:
        if not _are_the_same(value, then):
            list.__setitem__(value, slice(None), then)

    return restore


def _kept_deque(value: collections.deque[Any]) -> Restore:
    then = list(value)

    def restore() -> None:
        if not _are_the_same(value, then):
            value.clear()
            value.extend(then)

    return restore


def _kept_set(value: set[Any]) -> Restore:
    then = set(value)

    def restore() -> None:
        if {*map(id, value)} != {*map(id, then)}:
            set.clear(value)
            set.update(value, then)

    return restore


def _kept_numbers(value: Any) -> Restore:
    then = value[:]

    def restore() -> None:
        value[:] = then

    return restore


def _kept_draws(value: torch.Generator) -> Restore:
    return functools.partial(value.set_state, value.get_state())


def _kept_random(value: random.Random) -> Restore:
    return functools.partial(value.setstate, value.getstate())


def _kept_of_numpy(value: Any) -> Restore | None:
    import numpy as np

    if isinstance(value, np.ndarray):
        if value.nbytes > _LARGEST_ARRAY_BYTES or not value.flags.writeable:
            return None
        return functools.partial(np.copyto, value, value.copy())
    if isinstance(value, np.random.RandomState):
        return functools.partial(value.set_state, value.get_state())
    if isinstance(value, np.random.Generator):
        return functools.partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    return None


def _are_the_same(now: Any, then: list[Any]) -> bool:
    return len(now) == len(then) and all(a is b for a, b in zip(now, then, strict=True))


_KEEPERS: tuple[tuple[Any, Callable[[Any], Restore]], ...] = (
    (dict, _kept_table),
    (list, _kept_list),
    (collections.deque, _kept_deque),
    (set, _kept_set),
    ((bytearray, array.array), _kept_numbers),
    (torch.Generator, _kept_draws),
    (random.Random, _kept_random),
)
