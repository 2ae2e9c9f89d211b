"""What code around a call may have set on its thread, by which torch would run other operations.

torch has no public name for leaving all of it at once. Each part is put back at the end, in the
order in which it was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from memorymark.memory import torch_parts


@contextmanager
def without_ambient() -> Iterator[None]:
    """Suspend modes, transforms and hooks that the code around has set on this thread.

    These are dispatch modes (a FakeTensorMode among them), function modes (a default device among
    them), transforms of torch.func, and hooks on what is saved for the backward pass. What this
    torch has no parts for stays: see `staying_ambient`.
    """
    with ExitStack() as stack:
        for suspended, parts in _SUSPENDED.items():
            if not torch_parts.missing_parts(parts):
                stack.enter_context(suspended())
        yield


def staying_ambient() -> str | None:
    """Return the assumption that goes with every result of a torch that lacks parts for it."""
    missing = [name for parts in _SUSPENDED.values() for name in torch_parts.missing_parts(parts)]
    if not missing:
        return None
    return (
        f"PyTorch {torch.__version__} lacks {', '.join(missing)}: nothing that the code around the "
        "call sets by it was set aside."
    )


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
def _without_function_modes() -> Iterator[None]:
    modes = torch_parts.take_function_modes()
    try:
        yield
    finally:
        torch_parts.put_function_modes(modes)


@contextmanager
def _with_functions() -> Iterator[None]:
    enabled = torch_parts.enabled_functions()
    try:
        yield
    finally:
        del enabled


@contextmanager
def _without_saving_hooks() -> Iterator[None]:
    hooks, refused = torch_parts.take_saving_hooks()
    try:
        yield
    finally:
        torch_parts.put_saving_hooks(hooks, refused)


_SUSPENDED = {
    torch_parts.without_transforms: torch_parts.TRANSFORMS,
    torch_parts.without_modes: (),
    _without_function_modes: torch_parts.FUNCTION_MODES,
    _with_functions: torch_parts.DISABLED_FUNCTIONS,
    _without_saving_hooks: torch_parts.SAVING_HOOKS,
}
