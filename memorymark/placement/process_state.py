"""Keeps what belongs to the whole process as it was, whatever the user's code or a trial does."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from memorymark.placement.fp32_precision import precision_restorer
from memorymark.placement.moving import on_host_afterwards
from memorymark.placement.pretended_gpu import default_device, set_default_device

# Each kind of device has its own state of autocast.
_AUTOCAST = ("cpu", "cuda", "xpu")
_SWITCHES = ("benchmark", "deterministic", "enabled")


@contextmanager
def kept_process_state() -> Iterator[None]:
    """Restore, at the end, random generators, defaults, modes and switches of the process.

    Models of the user's that were on the host before are there again too.
    """
    with ExitStack() as stack:
        for restore in _restorers():
            stack.callback(restore)
        stack.callback(set_default_device, default_device())
        stack.enter_context(on_host_afterwards())
        yield


def _restorers() -> Iterator[Callable[[], None]]:
    yield from _random_generators()
    yield _setting(torch.get_default_dtype(), torch.get_default_dtype, torch.set_default_dtype)
    yield _setting(torch.is_grad_enabled(), torch.is_grad_enabled, torch.set_grad_enabled)
    yield precision_restorer()
    yield _setting(torch.get_num_threads(), torch.get_num_threads, torch.set_num_threads)
    yield _default_device(torch.get_default_device())
    yield _deterministic()
    yield _anomaly_detection()
    yield _collector(gc.isenabled())
    for kind in _AUTOCAST:
        yield _autocast(kind)
    yield _cudnn()


def _setting(value: Any, get: Callable[[], Any], put: Callable[[Any], Any]) -> Callable[[], None]:
    def restore() -> None:
        if get() != value:
            put(value)

    return restore


def _random_generators() -> Iterator[Callable[[], None]]:
    state, torch_state = random.getstate(), torch.get_rng_state()
    yield lambda: random.setstate(state)
    yield lambda: torch.set_rng_state(torch_state)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy_state = numpy.random.get_state()
        yield lambda: numpy.random.set_state(numpy_state)
    if torch.cuda.is_initialized():
        cuda_states = torch.cuda.get_rng_state_all()
        yield lambda: torch.cuda.set_rng_state_all(cuda_states)


def _default_device(device: torch.device) -> Callable[[], None]:
    def restore() -> None:
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)

    return restore


def _deterministic() -> Callable[[], None]:
    mode = torch.get_deterministic_debug_mode()
    return _setting(mode, torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode)


def _anomaly_detection() -> Callable[[], None]:
    mode, checks_nan = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    return lambda: (torch.autograd.set_detect_anomaly(mode, checks_nan), None)[1]


def _collector(enabled: bool) -> Callable[[], None]:
    return lambda: gc.enable() if enabled else gc.disable()


def _autocast(kind: str) -> Callable[[], None]:
    enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)

    def restore() -> None:
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)

    return restore


def _cudnn() -> Callable[[], None]:
    switches = {name: getattr(torch.backends.cudnn, name) for name in _SWITCHES}

    def restore() -> None:
        for name, value in switches.items():
            if getattr(torch.backends.cudnn, name) != value:
                setattr(torch.backends.cudnn, name, value)

    return restore
