"""Lets the user's code find a CUDA device while it is built or run without data.

Tensors without data stand for those of the device. The user's code and libraries on PyTorch see
them there: `x.device`, `x.is_cuda`, `x.to("cuda")`, `torch.zeros(2, device="cuda")` and what
torch.cuda tells of a device. PyTorch itself and MemoryMark see them as they are. Other threads see
the machine as it is.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from memorymark.memory.storage import RECOMPUTING
from memorymark.units import GIB
from memorymark.workloads.placement import Twins, move_module

# The patches belong to the process: what several threads put in place, none could take away.
_lock = threading.RLock()
_META = torch.device("meta")
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
_pretending: ContextVar[bool] = ContextVar("pretending to have a CUDA device", default=False)


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


def is_simulated() -> bool:
    """Return whether what runs now is for a GPU that `pretended_gpu` has named."""
    return _gpu.get() is not _UNKNOWN


@contextmanager
def pretending() -> Iterator[None]:
    """Let the code inside find a CUDA device."""
    if _pretending.get():
        yield
        return
    with _lock, ExitStack() as stack:
        outer = _pretending.set(True)
        stack.callback(_pretending.reset, outer)
        for owner, name, value in _patches():
            if hasattr(owner, name):
                stack.enter_context(mock.patch.object(owner, name, value))
        if "torch._dynamo" in sys.modules:  # otherwise nothing can have been compiled before
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_DeviceMode())
        yield


class _DeviceMode(TorchFunctionMode):
    """Puts what is asked of CUDA on tensors without data."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if args and args[0] is _PROBE:
            return True
        answer = _ANSWERS.get(func)
        if answer is not None and args[0].is_meta and not _asked_by_torch(sys._getframe(1)):
            return answer(args[0])
        if func is torch.device:
            return func(*args, **kwargs)
        if func in _CONSTRUCTORS and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": _default_device.get()}
        if func is Tensor.cuda:
            return args[0].to(_META)
        if func is Tensor.pin_memory:
            return args[0]
        return func(*_mapped(func, args), **_mapped_options(kwargs))


def _asked_by_torch(frame: Any) -> bool:
    while frame.f_code.co_name in _PASSING_ON:  # as the mode of a default device does
        frame = frame.f_back
    return _module_of(frame).partition(".")[0] in ("torch", "memorymark")


def _module_of(frame: Any) -> str:
    return frame.f_globals.get("__name__", "")


_PASSING_ON = ("__torch_function__", "handle_torch_function")


def _mapped(func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    names = func is Tensor.to
    return tuple(_META if _is_cuda_device(x) or (names and _is_cuda_name(x)) else x for x in args)


def _mapped_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    device = kwargs.get("device")
    is_number = isinstance(device, int) and not isinstance(device, bool)
    if is_number or _is_cuda_device(device) or _is_cuda_name(device):
        kwargs = {**kwargs, "device": _META}
        if kwargs.get("generator") is not None:
            kwargs["generator"] = None
    return {**kwargs, "pin_memory": False} if kwargs.get("pin_memory") else kwargs


def _is_cuda_device(x: Any) -> bool:
    return isinstance(x, torch.device) and x.type == "cuda"


def _is_cuda_name(x: Any) -> bool:
    return isinstance(x, str) and x.partition(":")[0] == "cuda"


_CONSTRUCTORS = {
    getattr(torch, name)
    for name in (
        "arange", "as_tensor", "empty", "empty_strided", "eye", "full", "linspace", "logspace",
        "ones", "rand", "randint", "randn", "randperm", "scalar_tensor", "tensor", "tril_indices",
        "triu_indices", "zeros",
    )
}  # fmt: skip

# Says whether the mode is on: autograd runs functions of the backward pass without it.
_PROBE = torch.empty(0, device=_META)


def _recomputing(real: Any) -> Any:
    """Keep the mode on where a function runs again in the backward pass."""

    def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        def with_mode(*inner: Any, **options: Any) -> Any:
            if not _pretending.get() or _PROBE.is_cuda:
                return function(*inner, **options)
            with _DeviceMode():
                return function(*inner, **options)

        return real(with_mode, *args, **kwargs)

    return call


# What the user's code is told of a tensor without data.
_ANSWERS: dict[Any, Callable[[Tensor], Any]] = {
    Tensor.device.__get__: lambda x: _CUDA,
    Tensor.is_cuda.__get__: lambda x: True,
    Tensor.is_meta.__get__: lambda x: False,
    Tensor.get_device: lambda x: 0,
}


def _here(answer: Callable[..., Any], real: Any) -> Callable[..., Any]:
    """Give the answer on this thread; elsewhere, and to torch's own code, what is."""

    def told(*args: Any, **kwargs: Any) -> Any:
        asked_by = _module_of(sys._getframe(1))
        of_torch = asked_by.startswith("torch.") and not asked_by.startswith(_AMP)
        if not _pretending.get() or of_torch:
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


COMPILED = (
    "torch.compile in the model's code was left out: the memory is that of eager steps, and what "
    "is compiled usually takes less."
)


def _compile(model: Any = None, **options: Any) -> Any:
    """Stand in for torch.compile: run what would be compiled as it is, and say so."""
    if model is None:
        return _compile
    if isinstance(model, nn.Module):
        _module_compile(model)
        return model

    @functools.wraps(model)
    def eager(*args: Any, **kwargs: Any) -> Any:
        _gpu.get().assume(COMPILED)
        return model(*args, **kwargs)

    return eager


def _module_compile(module: nn.Module, *args: Any, **kwargs: Any) -> None:
    module.register_forward_pre_hook(lambda module, inputs: _gpu.get().assume(COMPILED))


def _patches() -> Iterator[tuple[Any, str, Any]]:
    for name, answer in _CUDA_ANSWERS.items():
        yield torch.cuda, name, _here(answer, getattr(torch.cuda, name, None))
    for name in ("range_push", "range_pop", "mark", "range_start", "range_end"):
        yield torch.cuda.nvtx, name, _here(_nothing, getattr(torch.cuda.nvtx, name))
    for name in ("Stream", "Event", "ExternalStream"):
        yield torch.cuda, name, _standing_for(getattr(torch.cuda, name), _Stream)
    for name in ("stream", "device"):
        yield torch.cuda, name, _here(contextlib.nullcontext, getattr(torch.cuda, name))
    for owner, name in RECOMPUTING:
        yield owner, name, _recomputing(getattr(owner, name))
    yield Tensor, "record_stream", _here(_nothing, Tensor.record_stream)
    yield torch, "set_default_device", _here(set_default_device, torch.set_default_device)
    yield torch, "get_default_device", _here(_told_default, torch.get_default_device)
    yield torch, "compile", _here(_compile, torch.compile)
    yield nn.Module, "compile", _here(_module_compile, nn.Module.compile)
    yield torch, "Generator", _standing_for(torch.Generator, _generator)
    yield nn.Module, "to", _module_to(nn.Module.to)
    yield nn.Module, "cuda", _module_cuda(nn.Module.cuda)


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
    on_cuda = _is_cuda_device(device) or _is_cuda_name(device)
    return _Generator("cpu" if on_cuda else device)


_Generator = torch.Generator


def _standing_for(real: Any, make: Callable[..., Any]) -> Any:
    """Return a class in the place of another: on this thread, it makes something else."""

    class Meta(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return (make if _pretending.get() else real)(*args, **kwargs)

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, (real, _Stream) if make is _Stream else real)

    return Meta(real.__name__, (), {"__doc__": real.__doc__, "__module__": real.__module__})


def _module_to(real: Any) -> Any:
    def to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        if not _pretending.get():
            return real(self, *args, **kwargs)
        given, options = _mapped(Tensor.to, args), _mapped_options(kwargs)
        if (given, options) != (args, kwargs):
            move_module(self, _META, Twins(_META))
        return real(self, *given, **options)

    return to


def _module_cuda(real: Any) -> Any:
    def cuda(self: nn.Module, device: Any = None) -> nn.Module:
        if not _pretending.get():
            return real(self, device)
        move_module(self, _META, Twins(_META))
        return self

    return cuda
