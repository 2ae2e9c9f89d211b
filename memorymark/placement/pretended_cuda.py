"""Lets the user's code find a CUDA device while it is built or run without data.

Tensors without data stand for those of the device. The user's code and libraries on PyTorch see
them there: `x.device`, `x.is_cuda`, `x.to("cuda")`, `torch.zeros(2, device="cuda")` and what
torch.cuda tells of a device. PyTorch itself and MemoryMark see them as they are. Other threads see
the machine as it is.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from memorymark.memory.torch_parts import RECOMPUTING, has_compiler
from memorymark.placement.moving import Twins, move_module
from memorymark.placement.patches import patched, simulation_lock
from memorymark.placement.pretended_gpu import (
    assume,
    cuda_patches,
    default_device,
    here,
    is_cuda_device,
    is_cuda_name,
    module_of,
    on_this_thread,
)

_META = torch.device("meta")
_CUDA = torch.device("cuda", 0)


@contextmanager
def pretending() -> Iterator[None]:
    """Let the code inside find a CUDA device."""
    if on_this_thread.get():
        yield
        return
    with simulation_lock, ExitStack() as stack:
        outer = on_this_thread.set(True)
        stack.callback(on_this_thread.reset, outer)
        present = (patch for patch in _patches() if hasattr(*patch[:2]))
        stack.enter_context(patched(present))
        if has_compiler():  # otherwise nothing can have been compiled before
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
            kwargs = {**kwargs, "device": default_device()}
        if func is Tensor.cuda:
            return args[0].to(_META)
        if func is Tensor.pin_memory:
            return args[0]
        return func(*_mapped(func, args), **_mapped_options(kwargs))


def _asked_by_torch(frame: Any) -> bool:
    while frame.f_code.co_name in _PASSING_ON:  # as the mode of a default device does
        frame = frame.f_back
    return module_of(frame).partition(".")[0] in ("torch", "memorymark")


_PASSING_ON = ("__torch_function__", "handle_torch_function")


def _mapped(func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    names = func is Tensor.to
    return tuple(_META if is_cuda_device(x) or (names and is_cuda_name(x)) else x for x in args)


def _mapped_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    device = kwargs.get("device")
    is_number = isinstance(device, int) and not isinstance(device, bool)
    if is_number or is_cuda_device(device) or is_cuda_name(device):
        kwargs = {**kwargs, "device": _META}
        if kwargs.get("generator") is not None:
            kwargs["generator"] = None
    return {**kwargs, "pin_memory": False} if kwargs.get("pin_memory") else kwargs


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
            if not on_this_thread.get() or _PROBE.is_cuda:
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
        assume(COMPILED)
        return model(*args, **kwargs)

    return eager


def _module_compile(module: nn.Module, *args: Any, **kwargs: Any) -> None:
    module.register_forward_pre_hook(lambda module, inputs: assume(COMPILED))


def _patches() -> Iterator[tuple[Any, str, Any]]:
    yield from cuda_patches()
    for owner, name in RECOMPUTING:
        yield owner, name, _recomputing(getattr(owner, name))
    yield torch, "compile", here(_compile, torch.compile)
    yield nn.Module, "compile", here(_module_compile, nn.Module.compile)
    yield nn.Module, "to", _module_to(nn.Module.to)
    yield nn.Module, "cuda", _module_cuda(nn.Module.cuda)


def _module_to(real: Any) -> Any:
    def to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        if not on_this_thread.get():
            return real(self, *args, **kwargs)
        given, options = _mapped(Tensor.to, args), _mapped_options(kwargs)
        if (given, options) != (args, kwargs):
            move_module(self, _META, Twins(_META))
        return real(self, *given, **options)

    return to


def _module_cuda(real: Any) -> Any:
    def cuda(self: nn.Module, device: Any = None) -> nn.Module:
        if not on_this_thread.get():
            return real(self, device)
        move_module(self, _META, Twins(_META))
        return self

    return cuda
