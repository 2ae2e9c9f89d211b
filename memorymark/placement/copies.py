"""Copies what lives in the user's process, so that a step can run on the copy and touch nothing.

Tensors become their twins, without data or with a copy of it; modules, optimizers and the user's
functions and objects become copies that refer to one another as the originals do. What
`copy.deepcopy` would leave behind in a closure, a global name, a hook or a bound method is
followed, since it would lead back to what is live: a hook that writes to live weights, a scheduler
that steps the live optimizer.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import functools
import random
import types
import weakref
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, Dataset, Sampler

from memorymark.errors import WorkloadError
from memorymark.memory.torch_parts import hooks_of
from memorymark.placement.kept_values import in_its_place
from memorymark.placement.moving import Twins
from memorymark.placement.own_or_library import is_of_a_library, names_in
from memorymark.placement.ownership import like, note_made

_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, type, types.ModuleType,
    types.BuiltinFunctionType, torch.dtype, torch.device, torch.Size, torch.layout,
    Dataset, DataLoader, Sampler,
)  # fmt: skip
_LISTS = (list, set, frozenset, collections.deque)
_TABLES = (dict, collections.OrderedDict)
# Objects of libraries that a step writes to; all others are shared, or copied as Python copies.
_STATEFUL = ("torch.optim", "torch.amp", "torch.cuda.amp", "accelerate.utils.operations")
# Data to take batches from, not parts of a step.
_MOST_MEMBERS = 10_000

_originals: WeakKeyDictionary[nn.Module, weakref.ref[nn.Module]] = WeakKeyDictionary()


def copied(module: nn.Module, twins: Twins) -> nn.Module:
    """Return a copy of a module by itself, whose tensors are the twins of the module's.

    Raises:
        Exception: It cannot be copied; what its own code raises.
    """
    twin = Copies(twins).of(module)
    _originals[twin] = weakref.ref(module)
    return twin


def original_of(module: nn.Module) -> nn.Module | None:
    """Return what a module is a copy of by itself; None where it is none."""
    original = _originals.get(module)
    return None if original is None else original()


class Copies:
    """Copies objects of the process; the same object has the same copy.

    Args:
        twins: Gives each storage its counterpart.
        known: Copies that there are already, by the identity of what they are copies of.
    """

    def __init__(self, twins: Twins, known: dict[int, Any] | None = None) -> None:
        self._twins = twins
        self._with_data = twins.device.type != "meta"
        self._memo: dict[int, Any] = dict(known or {})
        self._kept: list[Any] = []  # so that an identity stays that of one object

    def more(self, twins: Twins) -> Copies:
        """Return what takes the copies of modules and parameters, and copies all else anew."""
        kept = {
            key: made
            for key, made in self._memo.items()
            if isinstance(made, nn.Module) or (isinstance(made, Tensor) and made.requires_grad)
            or isinstance(made, nn.Parameter)
        }  # fmt: skip
        return Copies(twins, kept)

    def of(self, value: Any) -> Any:
        """Return the copy of anything.

        Raises:
            WorkloadError: A module cannot be copied.
        """
        with _TensorsByTwins(self):
            return self._of(value)

    def tensor(self, tensor: Tensor) -> Tensor:
        """Return the twin of a tensor, with copies of its hooks."""
        known = self._memo.get(id(tensor))
        if known is None:
            known = self._keep(tensor, like(tensor, self._twins))
            for put, hooks in hooks_of(tensor, known):
                for hook in hooks:
                    put(self._of(hook))
        return known

    def _keep(self, value: Any, made: Any) -> Any:
        self._kept.append(value)
        self._memo[id(value)] = made
        return made

    def _of(self, value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return value
        if id(value) in self._memo:
            return self._memo[id(value)]
        for kind, make in _MAKERS:
            if isinstance(value, kind):
                return make(self, value)
        return self._object(value)

    def _module(self, module: nn.Module) -> nn.Module:
        if isinstance(module, torch.jit.ScriptModule):
            raise WorkloadError(
                f"{type(module).__name__} is a TorchScript module, whose steps cannot be followed. "
                "Give the module that it was made of."
            )
        inner = wrapped_in(module)
        if inner is not None and not self._with_data:
            return self._keep(module, self._of(inner))
        made = self._keep(module, object.__new__(type(module)))
        note_made(made)
        state = vars(module)
        if type(module).__getstate__ is not object.__getstate__:
            with contextlib.suppress(RuntimeError):  # parametrized modules refuse to be pickled
                state = module.__getstate__()
        made.__setstate__({name: self._attribute(each) for name, each in state.items()})
        return made

    def _attribute(self, value: Any) -> Any:
        """Return the copy of what stands in a module; an object of a library, only by itself."""
        made = self._of(value)
        if made is not value or isinstance(value, _PLAIN) or not hasattr(value, "__dict__"):
            return made
        with contextlib.suppress(Exception):  # files, locks and the like have no copy
            made = self._keep(value, copy.copy(value))
        return made

    def _optimizer(self, optimizer: Optimizer) -> Optimizer:
        made = self._keep(optimizer, object.__new__(type(optimizer)))
        note_made(made)
        # A scheduler puts a `step` on the object which leads to the one that is live.
        state = {name: each for name, each in vars(optimizer).items() if name != "step"}
        vars(made).update({name: self._of(each) for name, each in state.items()})
        if "step" in vars(optimizer):
            vars(made)["step"] = types.MethodType(_scheduled_step, made)
        return made

    def _function(self, function: types.FunctionType) -> Any:
        is_users = not is_of_a_library(function.__module__)
        if not is_users and not function.__closure__:
            return function
        names = function.__globals__
        made = types.FunctionType(
            function.__code__, dict(names) if is_users else names, function.__name__,
            closure=tuple(types.CellType() for _ in function.__closure__ or ()) or None,
        )  # fmt: skip
        self._keep(function, made)
        made.__kwdefaults__ = function.__kwdefaults__ and self._of(function.__kwdefaults__)
        made.__defaults__ = function.__defaults__ and self._of(function.__defaults__)
        vars(made).update(vars(function))
        made.__module__, made.__qualname__ = function.__module__, function.__qualname__
        made.__annotations__ = function.__annotations__
        for old, new in zip(function.__closure__ or (), made.__closure__ or (), strict=True):
            try:
                new.cell_contents = self._of(old.cell_contents)
            except ValueError:  # not filled yet
                continue
        if is_users:
            for name in set(names_in(function.__code__)) & set(names):
                made.__globals__[name] = self._of(names[name])
        return made

    def _method(self, method: types.MethodType) -> Any:
        """Follow whatever a method is bound to, an object of a library too: a trainer, say."""
        owner = method.__self__
        if isinstance(owner, (*_PLAIN, types.FunctionType)):
            return method
        known = isinstance(owner, nn.Module | Tensor | Optimizer)
        bound = self._of(owner) if known else self._with_copied_parts(owner)
        return method if bound is owner else types.MethodType(self._of(method.__func__), bound)

    def _partial(self, value: functools.partial[Any]) -> Any:
        inner = self._of(value.func), self._of(value.args), self._of(value.keywords)
        return self._keep(value, functools.partial(inner[0], *inner[1], **inner[2]))

    def _table(self, table: Any) -> Any:
        if len(table) > _MOST_MEMBERS:
            return table
        if isinstance(table, collections.defaultdict):
            made = self._keep(table, collections.defaultdict(self._of(table.default_factory)))
        elif type(table) in _TABLES:
            made = self._keep(table, type(table)())
        else:
            return self._object(table)
        for key, value in table.items():
            made[self._of(key)] = self._of(value)
        return made

    def _tuple(self, value: tuple[Any, ...]) -> Any:
        members = [self._of(each) for each in value]
        if all(new is old for new, old in zip(members, value, strict=True)):
            return value
        plain = type(value) is tuple
        return self._keep(value, tuple(members) if plain else type(value)(*members))

    def _list(self, value: Any) -> Any:
        if type(value) not in _LISTS or len(value) > _MOST_MEMBERS:
            return self._object(value) if len(value) <= _MOST_MEMBERS else value
        if isinstance(value, frozenset):
            return self._keep(value, frozenset(map(self._of, value)))
        made = self._keep(value, copy.copy(value))
        made.clear()
        add = made.add if isinstance(made, set) else made.append
        for each in value:
            add(self._of(each))
        return made

    def _reference(self, reference: weakref.ref[Any]) -> Any:
        target = reference()
        if not isinstance(target, nn.Module | Tensor | Optimizer):
            return reference
        return self._keep(reference, weakref.ref(self._of(target)))

    def _generator(self, generator: torch.Generator) -> torch.Generator:
        made = torch.Generator(generator.device if self._with_data else "cpu")
        if made.device.type == generator.device.type:
            made.set_state(generator.get_state())
        return self._keep(generator, made)

    def _object(self, value: Any) -> Any:
        forked = in_its_place(value)
        if forked is not None:
            return self._keep(value, forked)
        kind = type(value)
        module = kind.__module__
        if not is_of_a_library(module) or module.startswith(_STATEFUL):
            return self._with_copied_parts(value)
        if module.partition(".")[0] in ("numpy", "random"):  # large arrays are data
            written = "enerator" in kind.__name__ or _draws(value) or _is_small_array(value)
            return self._copied(value) if written else value
        return value

    def _copied(self, value: Any) -> Any:
        try:
            return copy.deepcopy(value, self._memo)
        except Exception:  # files, locks and the like have no copy
            return value

    def _with_copied_parts(self, value: Any) -> Any:
        if id(value) in self._memo:
            return self._memo[id(value)]
        try:
            made = object.__new__(type(value))
            parts = vars(value)
        except TypeError:  # made in C, or without a table of attributes
            return self._copied(value)
        self._keep(value, made)
        vars(made).update({name: self._of(each) for name, each in parts.items()})
        return made


def _scheduled_step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
    """Update, as an optimizer with a scheduler does: it looks for these marks, else it warns."""
    self._opt_called = True
    return type(self).step(self, *args, **kwargs)


_scheduled_step._wrapped_by_lr_sched = True


def _draws(value: Any) -> bool:
    return isinstance(value, random.Random) or hasattr(value, "get_state")


def _is_small_array(value: Any) -> bool:
    return getattr(value, "ndim", 0) > 0 and value.size <= _MOST_MEMBERS


_MAKERS: tuple[tuple[Any, Callable[[Copies, Any], Any]], ...] = (
    (Tensor, Copies.tensor),
    (nn.Module, Copies._module),
    (Optimizer, Copies._optimizer),
    (types.FunctionType, Copies._function),
    (types.MethodType, Copies._method),
    (functools.partial, Copies._partial),
    (dict, Copies._table),
    (tuple, Copies._tuple),
    (_LISTS, Copies._list),
    (weakref.ref, Copies._reference),
    (torch.Generator, Copies._generator),
)


class _TensorsByTwins(TorchFunctionMode):
    """Gives deepcopy the twins of tensors, whose data it would copy where they are."""

    def __init__(self, copies: Copies) -> None:
        super().__init__()
        self._copies = copies

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (Tensor.__deepcopy__, Tensor.clone):
            return self._copies.tensor(args[0])
        return func(*args, **(kwargs or {}))


def wrapped_in(module: nn.Module) -> nn.Module | None:
    """Return the module that another one compiles or trains in parallel; None where it does not."""
    if isinstance(module, DataParallel | DistributedDataParallel):
        return module.module
    return getattr(module, "_orig_mod", None)
