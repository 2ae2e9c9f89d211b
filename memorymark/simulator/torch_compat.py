"""The one place for torch's private parts: the dispatcher, schemas, and what autocast hides.

Two more files lean on such parts: `memory/torch_parts.py`, which stands below the simulator, and
the benchmarks' recording of real traces. A simulation calls `check` before anything else. Rules
name their operations through `operation`, when their files are loaded, so that none is left out
in silence.

Kernels are replaced at the key AutogradMeta: there they see every call on meta tensors, from
Python and from C++, in recomputation too, above autograd. The replaced autograd kernel is the
same for all back ends, so it is reached through the CPU's key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import optimizer as optimizer_module
from torch.optim import swa_utils
from torch.utils import _foreach_utils as foreach

from memorymark.errors import IncompatibleTorch, UnsupportedOperation
from memorymark.memory.torch_parts import TESTED_VERSIONS, OperationMode, missing_parts

# Where torch.optim asks which devices have fused kernels.
FUSED_DEVICES = (optimizer_module, "_get_fused_kernels_supported_devices")

# Where torch.optim and the clipping of gradients ask on which devices to work on lists of tensors.
FOREACH_DEVICES = tuple(
    (module, "_get_foreach_kernels_supported_devices")
    for module in (optimizer_module, swa_utils, foreach)
)

# Everything private or undocumented that is used here.
_RELIED_ON = (
    *(f"_C.{name}" for name in (
        "DispatchKey.AutogradCPU", "DispatchKey.Python", "DispatchKey.CompositeImplicitAutograd",
        "DispatchKeySet.add", "_dispatch_has_kernel_for_dispatch_key",
    )),
    *(f"ops.aten.add.Tensor.{name}" for name in (
        "_schema.is_mutable", "_schema.name", "_schema.returns", "_schema.arguments",
        "_overloadpacket", "_op_dk", "redispatch", "is_view", "tags",
    )),
    "Tensor._is_view", "library.Library._destroy",
    "utils._python_dispatch._get_current_dispatch_mode",
    "is_autocast_enabled", "set_autocast_enabled", "get_autocast_dtype", "set_autocast_dtype",
    "is_autocast_cache_enabled", "clear_autocast_cache", "amp.autocast_mode.is_autocast_available",
)  # fmt: skip
_missing: dict[str, None] = {}


class MissingOperation:
    """Stands in for an operation that this torch does not have: nothing equals it.

    Args:
        name: The operation, as in "aten::index.Tensor".
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Say that there is no such operation."""
        raise UnsupportedOperation(f"PyTorch {torch.__version__} has no operation {self.name}.")


@cache
def check() -> None:
    """Look for every private part that is relied on, once, before anything is patched.

    Raises:
        IncompatibleTorch: Some are not there.
    """
    missing = missing_parts(_RELIED_ON)
    for module, name in (FUSED_DEVICES, *FOREACH_DEVICES):  # torch.optim deletes its name
        if not hasattr(module, name):
            missing.append(f"{module.__name__}.{name}")
    if missing:
        raise IncompatibleTorch(missing, torch.__version__, TESTED_VERSIONS)
    # The first call under a default device settles, for the whole process, which functions
    # follow it: torch.tensor must be among them, and not what a simulation puts in its place.
    with torch.device("meta"):
        torch.empty(0)


def untested_version() -> str | None:
    """Return the assumption that goes with every result of a torch that was not tested."""
    version = ".".join(torch.__version__.split(".")[:2])
    if version in TESTED_VERSIONS:
        return None
    return (
        f"MemoryMark was tested with PyTorch {' and '.join(TESTED_VERSIONS)}; this is "
        f"{version}, and its memory may differ from what MemoryMark says."
    )


def operation(name: str) -> Any:
    """Return an operation; one that this torch does not have is noted as missing.

    Args:
        name: As in "aten::index.Tensor", or "aten::mm" for the default overload.
    """
    namespace, _, rest = name.partition("::")
    packet, _, overload = rest.partition(".")
    try:
        return getattr(getattr(getattr(torch.ops, namespace), packet), overload or "default")
    except AttributeError:
        _missing.setdefault(name)
        return MissingOperation(name)


def operations(*names: str) -> frozenset[Any]:
    """Return operations of the namespace aten, by names without it."""
    return frozenset(operation(f"aten::{name}") for name in names)


def missing_operations() -> str | None:
    """Return the assumption that names the operations for which rules are left out."""
    if not _missing:
        return None
    names = ", ".join(_missing)
    return f"PyTorch {torch.__version__} lacks {names}; the rules for them are left out."


def schema_of(func: Any) -> Any:
    """Return an operation's schema: its name, arguments and returns."""
    return func._schema


def packet_of(func: Any) -> Any:
    """Return what holds all overloads of an operation."""
    return func._overloadpacket


def is_view(tensor: Tensor) -> bool:
    """Return whether autograd knows a tensor as a view of another."""
    return tensor._is_view()


def replace_kernels(kernels: Mapping[Any, Callable[..., Any]]) -> Callable[[], None]:
    """Put kernels before those that operations on meta tensors take.

    Returns:
        What takes them away again.
    """
    library = torch.library.Library("aten", "IMPL")
    for op, kernel in kernels.items():
        if not isinstance(op, MissingOperation):
            library.impl(op, kernel, "AutogradMeta")
    return library._destroy


def call_replaced(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the original kernel of a replaced operation."""
    if _is_composite(op):
        # Not op.decompose: it prefers decompositions in Python, where a library has loaded them,
        # and some keep other tensors than the kernel does.
        return op._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)
    if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
        return op.redispatch(_autograd(), *args, **kwargs)
    # Below autograd the call goes on through a mode, which finds the meta kernel; with no mode
    # it would go to the CPU's kernel, and there is no data. The call comes back to the
    # replacement, and from there to the line above: torch 2.11 takes a mode only from the start.
    with OperationMode():
        return op(*args, **kwargs)


def release_cublas_workspaces() -> bool:
    """Give back the workspaces that cuBLAS's handles keep.

    Returns:
        False where this torch has no call for it: the workspaces then stay allocated.
    """
    clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
    if clear is None:
        return False
    clear()
    return True


@cache
def _is_composite(op: Any) -> bool:
    """Return whether the operation is written in terms of others."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), "CompositeImplicitAutograd")


@cache
def _autograd() -> Any:
    keys = torch._C.DispatchKey
    return torch._C.DispatchKeySet(keys.AutogradCPU).add(keys.Python)
