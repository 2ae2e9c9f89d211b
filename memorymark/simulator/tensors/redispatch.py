"""Replacing the kernel of an operation for meta tensors, and calling the one replaced.

Kernels are registered at the key AutogradMeta: they see every call on meta tensors, from
Python and from C++, in recomputation too, above autograd. The replaced autograd kernel is the
same for all back ends, so it is reached through the CPU's key.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

_KEYS = torch._C.DispatchKey
_AUTOGRAD = torch._C.DispatchKeySet(_KEYS.AutogradCPU).add(_KEYS.Python)
_COMPOSITE = "CompositeImplicitAutograd"
_COMPOSITE_KEY = _KEYS.CompositeImplicitAutograd


def is_composite(op: torch._ops.OpOverload) -> bool:
    """Return whether the operation is written in terms of others."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), _COMPOSITE)


def call_replaced(op: torch._ops.OpOverload, *args: Any, **kwargs: Any) -> Any:
    """Call the kernel that a replacement at AutogradMeta stands before."""
    if is_composite(op):
        # Not op.decompose: it prefers decompositions in Python, where a library has loaded them,
        # and some keep other tensors than the kernel does.
        return op._op_dk(_COMPOSITE_KEY, *args, **kwargs)
    if _get_current_dispatch_mode() is not None:
        return op.redispatch(_AUTOGRAD, *args, **kwargs)
    # Below autograd the call goes on through the mode, which finds the meta kernel; with no
    # mode it would go to the CPU's kernel, and there is no data.
    with _PassOn():
        return op.redispatch(_AUTOGRAD, *args, **kwargs)


class _PassOn(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return func(*args, **(kwargs or {}))
