"""Models that stay in a process between its requests, so that a rerun does not build them again.

A model without data costs its modules only. One with data on the host is kept together with the
values that it was built with, within a bound of bytes. Nothing is kept on an accelerator: there, a
model is built in place, which fills its weights faster than a copy from the host would arrive.

A step changes what it trains. So a model is given out again only where everything that hangs on its
modules is as it was when it was built, and its values are set back. What the user's own code and
folders make may be something else each time, and is never kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

MOST_MODELS = 8
MOST_MODULES = 20_000  # of all that are kept: some 50 MB of Python's objects
_MEMBERS = ("_parameters", "_buffers", "_modules")
_PLAIN = (bool, int, float, str, type(None))


def _tell_nobody(text: str) -> None:
    """Say nothing."""


@dataclass
class _Kept:
    """A model as it was built.

    Attributes:
        model: The model.
        state: What `_state_of` said of it then.
        values: Copies of its values, where it has any.
        host_bytes: Bytes of the model and of the copies.
        modules: How many modules it has.
    """

    model: nn.Module
    state: tuple[object, ...]
    values: list[Tensor]
    host_bytes: int
    modules: int


@dataclass
class KeptModels:
    """The last few models that were built in this process.

    Attributes:
        most_bytes: Host memory that they may take together, with the copies of their values.
        say: Told where one is taken again.
    """

    most_bytes: int
    say: Callable[[str], None] = _tell_nobody
    _kept: OrderedDict[Hashable, _Kept] = field(default_factory=OrderedDict)

    @property
    def host_bytes(self) -> int:
        """Host memory that the models take now, with the copies of their values."""
        return sum(kept.host_bytes for kept in self._kept.values())

    def keep(self, key: Hashable, model: nn.Module) -> None:
        """Keep a model that was just built, in the place of the oldest ones."""
        tensors = [tensor for tensor in _tensors_of(model) if not tensor.is_meta]
        if any(tensor.device.type != "cpu" for tensor in tensors):
            return
        host_bytes = 2 * sum(tensor.untyped_storage().nbytes() for tensor in tensors)
        state = _state_of(model)
        if host_bytes > self.most_bytes or len(state) > MOST_MODULES:
            return
        values = [tensor.detach().clone() for tensor in tensors]
        self._kept[key] = _Kept(model, state, values, host_bytes, len(state))
        while self._is_too_much():
            self._kept.popitem(last=False)

    def take(self, key: Hashable, name: str) -> nn.Module | None:
        """Return a model as it was built; None where it is not there, or not as it was."""
        kept = self._kept.pop(key, None)
        if kept is None:
            return None
        if not _is_as_built(kept):
            return None
        with torch.no_grad():
            tensors = (tensor for tensor in _tensors_of(kept.model) if not tensor.is_meta)
            for tensor, value in zip(tensors, kept.values, strict=True):
                tensor.copy_(value)
        self._kept[key] = kept
        self.say(f"{name} is loaded already.")
        return kept.model

    def settle(self) -> None:
        """Let go of what the last request left: gradients where it was stopped, changed models."""
        for key, kept in list(self._kept.items()):
            if not _is_as_built(kept):
                del self._kept[key]

    def _is_too_much(self) -> bool:
        modules = sum(kept.modules for kept in self._kept.values())
        is_many = len(self._kept) > MOST_MODELS or modules > MOST_MODULES
        return is_many or self.host_bytes > self.most_bytes


_current: ContextVar[KeptModels | None] = ContextVar("models that are kept", default=None)


def kept_models() -> KeptModels | None:
    """Return where models are kept; None where none are, as on one's own."""
    return _current.get()


@contextmanager
def keeping(models: KeptModels | None, say: Callable[[str], None]) -> Iterator[None]:
    """Keep the models that are built inside.

    Args:
        models: Where they are kept; None keeps none.
        say: Told where a model is taken again.
    """
    if models is not None:
        models.say = say
    outer = _current.set(models)
    try:
        yield
    finally:
        _current.reset(outer)
        if models is not None:
            models.settle()


def _is_as_built(kept: _Kept) -> bool:
    """Say whether a model is as it was built, but for its values, and drop its gradients."""
    kept.model.zero_grad(set_to_none=True)
    return _state_of(kept.model) == kept.state


def _tensors_of(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _state_of(model: nn.Module) -> tuple[object, ...]:
    """Return what a step could leave on a model beside gradients and values, of each module."""
    return tuple(
        tuple(_attribute(name, value) for name, value in vars(module).items())
        for module in model.modules()
    )


def _attribute(name: str, value: object) -> object:
    if name in _MEMBERS:
        return name, tuple((each, _member(member)) for each, member in value.items())
    if isinstance(value, _PLAIN):
        return name, value
    return name, id(value), len(value) if isinstance(value, dict | list | set) else None


def _member(member: object) -> object:
    if not isinstance(member, Tensor):
        return id(member)
    return id(member), member.dtype, member.shape, member.stride(), member.requires_grad
