"""What code around a call may have set on its thread, by which torch would run other operations.

torch has no public name for leaving all of it at once. Each part is put back at the end, in the
order in which it was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import overrides

from memorymark.memory.storage import without_modes


@contextmanager
def without_ambient() -> Iterator[None]:
    """Suspend modes, transforms and hooks that the code around has set on this thread.

    These are dispatch modes (a FakeTensorMode among them), function modes (a default device among
    them), transforms of torch.func, and hooks on what is saved for the backward pass.
    """
    with ExitStack() as stack:
        for suspended in (
            _without_transforms, without_modes, _without_function_modes, _with_overrides,
            _without_saving_hooks,
        ):  # fmt: skip
            stack.enter_context(suspended())
        yield


def set_aside_autocast_nesting() -> int:
    """Leave every region of autocast, so that casts are kept no longer than one; return how many.

    A region that ends within another keeps its casts: weights in a lower format would stay.
    """
    deep = torch.autocast_increment_nesting()
    for _ in range(deep):
        torch.autocast_decrement_nesting()
    return deep - 1


def restore_autocast_nesting(deep: int) -> None:
    """Be in that many regions of autocast again."""
    set_aside_autocast_nesting()
    for _ in range(deep):
        torch.autocast_increment_nesting()


@contextmanager
def _without_transforms() -> Iterator[None]:
    try:
        from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
    except ImportError:
        yield
        return
    with temporarily_clear_interpreter_stack():
        yield


@contextmanager
def _without_function_modes() -> Iterator[None]:
    modes = _pop_function_modes()
    try:
        yield
    finally:
        _pop_function_modes()
        for mode in reversed(modes):
            overrides._push_mode(mode)


def _pop_function_modes() -> list[Any]:
    return [overrides._pop_mode() for _ in range(torch._C._len_torch_function_stack())]


@contextmanager
def _with_overrides() -> Iterator[None]:
    """Let modes work within torch._C.DisableTorchFunction too."""
    enabled = torch._C._is_torch_function_enabled()
    guard = None if enabled else torch._C._EnableTorchFunction()
    try:
        yield
    finally:
        del guard


@contextmanager
def _without_saving_hooks() -> Iterator[None]:
    of_autograd = torch._C._autograd
    refused = of_autograd._saved_tensors_hooks_get_disabled_error_message()
    of_autograd._saved_tensors_hooks_enable()
    hooks = []
    while (top := of_autograd._top_saved_tensors_default_hooks(True)) is not None:
        hooks.append(top)
        of_autograd._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pack, unpack in reversed(hooks):
            of_autograd._push_saved_tensors_default_hooks(pack, unpack)
        if refused is not None:
            of_autograd._saved_tensors_hooks_disable(refused, False)
