"""Torch's private parts that the rooms below the simulator need, and only they.

torch has no public name for the identity of a storage, for a mode that sees every operation, for
walking nested containers, or for leaving what the code around has set. The first tracker calls
`check`, on real tensors as on simulated ones. What the simulator needs beyond this is in
`simulator/torch_compat.py`, which has a check of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, overrides

from memorymark.errors import IncompatibleTorch

# The versions of torch, major and minor, with which the private parts were tried.
TESTED_VERSIONS = ("2.11", "2.15")

# Everything private that is used below, is not imported here, and cannot be done without.
_RELIED_ON = (
    "UntypedStorage._cdata", "ops.aten.add.Tensor._schema.is_mutable", "Tensor._backward_hooks",
    "Tensor._post_accumulate_grad_hooks", "utils.checkpoint.CheckpointFunction.apply",
    "utils.checkpoint._checkpoint_without_reentrant_generator",  # in torch 2.15 around another
)  # fmt: skip

# By what code may have set around a call, the parts with which it is set aside.
TRANSFORMS = ("_functorch.pyfunctorch.temporarily_clear_interpreter_stack",)
FUNCTION_MODES = ("_C._len_torch_function_stack", "overrides._pop_mode", "overrides._push_mode")
DISABLED_FUNCTIONS = ("_C._is_torch_function_enabled", "_C._EnableTorchFunction")
SAVING_HOOKS = tuple(
    f"_C._autograd._{name}"
    for name in (
        "saved_tensors_hooks_get_disabled_error_message", "saved_tensors_hooks_enable",
        "saved_tensors_hooks_disable", "top_saved_tensors_default_hooks",
        "pop_saved_tensors_default_hooks", "push_saved_tensors_default_hooks",
    )
)  # fmt: skip

try:
    from torch.utils import checkpoint as checkpointing
    from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
    from torch.utils._pytree import tree_leaves, tree_map
except ImportError as error:
    raise IncompatibleTorch([str(error)], torch.__version__, TESTED_VERSIONS) from error

__all__ = [
    "DISABLED_FUNCTIONS", "FUNCTION_MODES", "RECOMPUTING", "SAVING_HOOKS", "TESTED_VERSIONS",
    "TRANSFORMS", "OperationMode", "check", "enabled_functions", "has_compiler", "hooks_of",
    "is_mutable", "key_of", "missing_parts", "put_function_modes", "put_saving_hooks",
    "set_version", "take_function_modes", "take_hooks", "take_saving_hooks", "tree_leaves",
    "tree_map", "version_of", "without_modes", "without_transforms",
]  # fmt: skip

# Who is given a function that runs again in the backward pass, as its first argument.
_GENERATOR = "_checkpoint_without_reentrant_generator"
RECOMPUTING = (
    (checkpointing, _GENERATOR + ("_impl" if hasattr(checkpointing, _GENERATOR + "_impl") else "")),
    (checkpointing.CheckpointFunction, "apply"),
)

# Suspends every mode, so that what runs inside is not seen.
without_modes = _disable_current_modes


class OperationMode(TorchDispatchMode):
    """While it is entered, `handle` is given every operation on tensors and returns its result."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled while storages are followed; the guard against it costs a third
        # of a simulated step.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Hand the operation to `handle`; one on wrapped tensors comes back with what they wrap."""
        if types and any(hasattr(kind, "__tensor_flatten__") for kind in types):
            return NotImplemented
        return self.handle(func, args, kwargs or {})

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the operation."""
        return func(*args, **kwargs)


@cache
def check() -> None:
    """Look for every private part that is used here, once, before a storage is followed.

    Raises:
        IncompatibleTorch: Some are not there.
    """
    missing = missing_parts(_RELIED_ON)
    if missing:
        raise IncompatibleTorch(missing, torch.__version__, TESTED_VERSIONS)


def missing_parts(paths: Iterable[str]) -> list[str]:
    """Return which parts of torch, as in "Tensor._is_view", are not there."""
    return [f"torch.{path}" for path in paths if not _has(path)]


def key_of(storage: torch.UntypedStorage) -> int:
    """Return what tells a storage from every other that is alive."""
    return storage._cdata


def is_mutable(func: Any) -> bool:
    """Return whether an operation writes into one of its arguments."""
    return func._schema.is_mutable


def take_hooks(tensor: Tensor) -> Callable[[Tensor], None]:
    """Take the hooks off a leaf tensor; what is returned puts them on a tensor.

    The user's handles stay good: they remove from the same dictionaries.
    """
    before, after = tensor._backward_hooks, tensor._post_accumulate_grad_hooks
    if before is not None:
        tensor._backward_hooks = None

    def put(target: Tensor) -> None:
        if before is not None:
            target._backward_hooks = before
        if after is not None:
            target._post_accumulate_grad_hooks = after

    return put


def hooks_of(tensor: Tensor, like: Tensor) -> Iterator[tuple[Callable[[Any], Any], list[Any]]]:
    """Yield what puts a hook on another tensor, and the hooks of its kind that a tensor has."""
    if like.requires_grad:
        yield like.register_hook, list((tensor._backward_hooks or {}).values())
        after = tensor._post_accumulate_grad_hooks
        if after and like.is_leaf:
            yield like.register_post_accumulate_grad_hook, list(after.values())


def version_of(tensor: Tensor) -> int | None:
    """Return how often a tensor was written to, by which autograd knows stale values."""
    return None if tensor.is_inference() else tensor._version


def set_version(tensor: Tensor, version: int | None) -> None:
    """Count a tensor as written to just so often, where this torch can."""
    put = getattr(torch._C._autograd, "_unsafe_set_version_counter", None)
    if put is not None and version is not None and tensor._version != version:
        put((tensor,), (version,))


def without_transforms() -> AbstractContextManager[Any]:
    """Suspend the transforms of torch.func."""
    return torch._functorch.pyfunctorch.temporarily_clear_interpreter_stack()


def take_function_modes() -> list[Any]:
    """Leave all modes of functions, a default device among them; return them, innermost first."""
    return [overrides._pop_mode() for _ in range(torch._C._len_torch_function_stack())]


def put_function_modes(modes: Sequence[Any]) -> None:
    """Be in these modes of functions, and no others."""
    take_function_modes()
    for mode in reversed(modes):
        overrides._push_mode(mode)


def enabled_functions() -> object:
    """Let modes of functions work within DisableTorchFunction too, as long as the result lives."""
    return None if torch._C._is_torch_function_enabled() else torch._C._EnableTorchFunction()


def take_saving_hooks() -> tuple[list[tuple[Any, Any]], str | None]:
    """Take off the hooks on what is saved for the backward pass.

    Returns:
        The hooks, innermost first, and the sentence that forbids hooks; None: they are allowed.
    """
    of_autograd = torch._C._autograd
    refused = of_autograd._saved_tensors_hooks_get_disabled_error_message()
    of_autograd._saved_tensors_hooks_enable()
    hooks = []
    while (top := of_autograd._top_saved_tensors_default_hooks(True)) is not None:
        hooks.append(top)
        of_autograd._pop_saved_tensors_default_hooks()
    return hooks, refused


def put_saving_hooks(hooks: Sequence[tuple[Any, Any]], refused: str | None) -> None:
    """Put back what `take_saving_hooks` took."""
    of_autograd = torch._C._autograd
    for pack, unpack in reversed(hooks):
        of_autograd._push_saved_tensors_default_hooks(pack, unpack)
    if refused is not None:
        of_autograd._saved_tensors_hooks_disable(refused, False)


def has_compiler() -> bool:
    """Return whether the part of torch is loaded that torch.compile needs."""
    return "torch._dynamo" in sys.modules


def _has(path: str) -> bool:
    try:
        attrgetter(path)(torch)
    except AttributeError:
        return False
    return True
