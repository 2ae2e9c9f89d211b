"""A clean state of the process for MemoryMark's own work, and the caller's given back afterwards.

Whatever the code around has switched on (mixed precision, another number format, modes, no_grad)
would change what a trial allocates; whatever the user's code in a trial switches on would outlive
it. Some of it belongs to the thread and some to the process, which all threads share.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from memorymark.errors import UsageError
from memorymark.memory.ambient import (
    restore_autocast_nesting,
    set_aside_autocast_nesting,
    without_ambient,
)
from memorymark.placement.moving import on_host_afterwards
from memorymark.placement.ownership import watching
from memorymark.placement.patches import SharedByThreads
from memorymark.placement.pretended_gpu import default_device, set_default_device
from memorymark.placement.process_switches import clean_switches

# Each kind of device has its own state of autocast; the format is what torch starts with.
_AUTOCAST = {"cpu": torch.bfloat16, "cuda": torch.float16, "xpu": torch.float16}


@contextmanager
def clean_state() -> Iterator[None]:
    """Run what is inside as in a process that has only imported torch.

    At the end everything is as it was, also after an error or an interrupt: random generators,
    number formats, modes, switches, and models of the user's that were on the host.

    Threads share the random generators, the default number format and the switches: they are the
    caller's again when the last thread leaves, and one that draws random numbers or trains
    meanwhile sees what the trials do to them.

    Raises:
        UsageError: PyTorch is recording the code around, and would record the work too.
    """
    _refuse_recording()
    with ExitStack() as stack:
        stack.enter_context(_clean_thread())
        stack.enter_context(_switches())
        stack.enter_context(watching())
        stack.enter_context(on_host_afterwards())
        yield


def _refuse_recording() -> None:
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        raise UsageError(
            "MemoryMark was called in code that PyTorch is tracing or compiling. Call it outside "
            "of torch.jit.trace, torch.compile and torch.export."
        )


_of_all_threads = SharedByThreads(clean_switches)
_local = threading.local()


@contextmanager
def _switches() -> Iterator[None]:
    """Hold the switches of the process; within a call, the ones of that call come back."""
    within = getattr(_local, "within", False)
    _local.within = True
    try:
        with clean_switches() if within else _of_all_threads.held():
            yield
    finally:
        _local.within = within


@contextmanager
def _clean_thread() -> Iterator[None]:
    outer = default_device()
    set_default_device(None)
    try:
        with without_ambient(), torch.inference_mode(False), torch.enable_grad(), _no_autocast():
            yield
    finally:
        set_default_device(outer)


@contextmanager
def _no_autocast() -> Iterator[None]:
    cache, deep = torch.is_autocast_cache_enabled(), set_aside_autocast_nesting()
    before = {
        kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        for kind in _AUTOCAST
    }
    _set_autocast({kind: (False, dtype) for kind, dtype in _AUTOCAST.items()}, cache=True)
    try:
        yield
    finally:
        torch.clear_autocast_cache()
        _set_autocast(before, cache=cache)
        restore_autocast_nesting(deep)


def _set_autocast(states: dict[str, tuple[bool, torch.dtype]], *, cache: bool) -> None:
    torch.set_autocast_cache_enabled(cache)
    for kind, (enabled, dtype) in states.items():
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)
