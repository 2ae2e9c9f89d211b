"""What torch.cuda tells the user's code of a device that is simulated.

Only on the thread on which `on_this_thread` is set, and not to PyTorch's own code.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from memorymark.units import GIB

_CUDA = torch.device("cuda", 0)


@dataclass(frozen=True)
class PretendedGpu:
    """What torch.cuda tells of the device.

    Attributes:
        name: The device's name.
        capability: Major and minor version of its compute capability.
        total_bytes: Its memory.
        allocated_bytes: Returns the bytes of live tensors.
        assume: Takes a sentence about what is run in another way than on the device.
    """

    name: str = "NVIDIA A100 40GB"
    capability: tuple[int, int] = (8, 0)
    total_bytes: int = 40 * GIB
    allocated_bytes: Callable[[], int] = lambda: 0
    assume: Callable[[str], None] = lambda sentence: None


_UNKNOWN = PretendedGpu()
_gpu: ContextVar[PretendedGpu] = ContextVar("the GPU that is simulated", default=_UNKNOWN)
on_this_thread: ContextVar[bool] = ContextVar("pretending to have a CUDA device", default=False)


@contextmanager
def pretended_gpu(**known: Any) -> Iterator[None]:
    """Say which GPU code finds in `pretending`, by the fields of PretendedGpu."""
    outer = _gpu.set(replace(_gpu.get(), **known))
    try:
        yield
    finally:
        _gpu.reset(outer)


# What the user's code has set as default device: a mode of torch's own would outlive the code.
_default_device: ContextVar[torch.device | None] = ContextVar("default device", default=None)


def default_device() -> torch.device | None:
    """Return the default device that the user's code has set while it found a CUDA device."""
    return _default_device.get()


def set_default_device(device: Any) -> None:
    """Set where code that finds a CUDA device makes tensors; None for the host."""
    _default_device.set(None if device is None else torch.device(device))


def assume(sentence: str) -> None:
    """Note what is run in another way than on the device."""
    _gpu.get().assume(sentence)


def is_simulated() -> bool:
    """Return whether what runs now is for a GPU that `pretended_gpu` has named."""
    return _gpu.get() is not _UNKNOWN


def cuda_patches() -> Iterator[tuple[Any, str, Any]]:
    """Yield owner, name and what answers in its place."""
    for name, answer in _CUDA_ANSWERS.items():
        yield torch.cuda, name, here(answer, getattr(torch.cuda, name, None))
    for name in ("range_push", "range_pop", "mark", "range_start", "range_end"):
        yield torch.cuda.nvtx, name, here(_nothing, getattr(torch.cuda.nvtx, name))
    for name in ("Stream", "Event", "ExternalStream"):
        yield torch.cuda, name, _standing_for(getattr(torch.cuda, name), _Stream)
    for name in ("stream", "device"):
        yield torch.cuda, name, here(contextlib.nullcontext, getattr(torch.cuda, name))
    yield torch, "set_default_device", here(set_default_device, torch.set_default_device)
    yield torch, "get_default_device", here(_told_default, torch.get_default_device)
    yield torch, "Generator", _standing_for(torch.Generator, _generator)
    yield Tensor, "record_stream", here(_nothing, Tensor.record_stream)


def is_cuda_device(x: Any) -> bool:
    """Return whether an argument is a device of CUDA."""
    return isinstance(x, torch.device) and x.type == "cuda"


def is_cuda_name(x: Any) -> bool:
    """Return whether an argument names a device of CUDA."""
    return isinstance(x, str) and x.partition(":")[0] == "cuda"


def here(answer: Callable[..., Any], real: Any) -> Callable[..., Any]:
    """Give the answer on this thread; elsewhere, and to torch's own code, what is."""

    def told(*args: Any, **kwargs: Any) -> Any:
        asked_by = module_of(sys._getframe(1))
        of_torch = asked_by.startswith("torch.") and not asked_by.startswith(_AMP)
        if not on_this_thread.get() or of_torch:
            return real(*args, **kwargs)
        return answer(*args, **kwargs)

    return told


_AMP = ("torch.amp", "torch.cuda.amp", "torch.utils.data")


class _Stream:
    """A stream or an event of the device: all work is done at once and takes no time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.device = _CUDA

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *args: object) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None

    def query(self) -> bool:
        return True

    def elapsed_time(self, end: object) -> float:
        return 0.0


def module_of(frame: Any) -> str:
    """Return the module whose code a frame runs."""
    return frame.f_globals.get("__name__", "")


def _told_default() -> torch.device:
    return _default_device.get() or torch.device("cpu")


def _allocated(device: object = None) -> int:
    return _gpu.get().allocated_bytes()


def _memory_info(device: object = None) -> tuple[int, int]:
    total = _gpu.get().total_bytes
    return max(0, total - _allocated()), total


def _properties(device: object = None) -> SimpleNamespace:
    gpu = _gpu.get()
    major, minor = gpu.capability
    return SimpleNamespace(
        name=gpu.name, total_memory=gpu.total_bytes, major=major, minor=minor,
        multi_processor_count=1, warp_size=32, is_integrated=False, is_multi_gpu_board=False,
    )  # fmt: skip


def _supports_bf16(including_emulation: bool = True) -> bool:
    return including_emulation or _gpu.get().capability >= (8, 0)


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


_CUDA_ANSWERS: dict[str, Callable[..., Any]] = {
    "is_available": lambda: True,
    "is_initialized": lambda: True,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "get_device_name": lambda device=None: _gpu.get().name,
    "get_device_capability": lambda device=None: _gpu.get().capability,
    "get_device_properties": _properties,
    "is_bf16_supported": _supports_bf16,
    "mem_get_info": _memory_info,
    "memory_allocated": _allocated,
    "max_memory_allocated": _allocated,
    "memory_reserved": _allocated,
    "max_memory_reserved": _allocated,
    "memory_stats": lambda device=None: {},
    "memory_summary": lambda device=None, abbreviated=False: "",
    "current_stream": _Stream,
    "default_stream": _Stream,
    "is_current_stream_capturing": lambda: False,
    **dict.fromkeys(
        (
            "synchronize", "empty_cache", "ipc_collect", "set_device", "init", "set_stream",
            "reset_peak_memory_stats", "reset_max_memory_allocated", "manual_seed",
            "manual_seed_all", "set_per_process_memory_fraction",
        ),
        _nothing,
    ),
}  # fmt: skip


def _generator(device: Any = "cpu") -> torch.Generator:
    """Return a random generator: those of CUDA are of the host."""
    on_cuda = is_cuda_device(device) or is_cuda_name(device)
    return _Generator("cpu" if on_cuda else device)


_Generator = torch.Generator


def _standing_for(real: Any, make: Callable[..., Any]) -> Any:
    """Return a class in the place of another: on this thread, it makes something else."""

    class Meta(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return (make if on_this_thread.get() else real)(*args, **kwargs)

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, (real, _Stream) if make is _Stream else real)

    return Meta(real.__name__, (), {"__doc__": real.__doc__, "__module__": real.__module__})
