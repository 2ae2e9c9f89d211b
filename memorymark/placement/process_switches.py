"""What belongs to the whole process and changes what a trial does: set aside, and put back."""

from __future__ import annotations

import gc
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from memorymark.placement.fp32_precision import precision_restorer, set_full_precision

_KEPT = object()
_CUDNN = {"benchmark": False, "deterministic": False, "enabled": True}
_ATTENTION = ("flash", "mem_efficient", "math", "cudnn")
_LEAST_RECURSION = 1000  # Python's own


@contextmanager
def clean_switches() -> Iterator[None]:
    """Hold the switches of the process as torch sets them when it is imported."""
    with ExitStack() as stack:
        for restore in _random_generators():
            stack.callback(restore)
        stack.enter_context(_warnings())
        stack.callback(precision_restorer())
        for get, put, clean in _settings():
            stack.callback(_restorer(get, put))
            if clean is not _KEPT and get() != clean:
                put(clean)
        set_full_precision()
        yield


@contextmanager
def same_random_state() -> Iterator[None]:
    """Put the random generators of the process back at the end, as they are now."""
    with ExitStack() as stack:
        for restore in _random_generators():
            stack.callback(restore)
        yield


def _settings() -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any], Any]]:
    """Yield how a switch is read and set, and its clean value; some are only put back."""
    yield torch.get_default_dtype, torch.set_default_dtype, torch.float32
    yield torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0
    yield _anomaly_detection, _detect_anomaly, (False, True)
    yield torch.get_num_threads, torch.set_num_threads, _KEPT
    yield gc.isenabled, lambda enabled: gc.enable() if enabled else gc.disable(), _KEPT
    limit = max(sys.getrecursionlimit(), _LEAST_RECURSION)
    yield sys.getrecursionlimit, sys.setrecursionlimit, limit
    for name, value in _CUDNN.items():
        yield *_attribute(torch.backends.cudnn, name), value
    of_cuda = torch.backends.cuda
    for name in _ATTENTION:
        enabled = getattr(of_cuda, f"{name}_sdp_enabled", None)
        if enabled is not None:
            yield enabled, getattr(of_cuda, f"enable_{name}_sdp"), True


def _restorer(get: Callable[[], Any], put: Callable[[Any], Any]) -> Callable[[], None]:
    value = get()

    def restore() -> None:
        if get() != value:
            put(value)

    return restore


def _attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _anomaly_detection() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _detect_anomaly(value: tuple[bool, bool]) -> None:
    torch.autograd.set_detect_anomaly(*value)


@contextmanager
def _warnings() -> Iterator[None]:
    """Let no warning of a library's become an error that ends the work."""
    if not any(action == "error" for action, *_ in warnings.filters):
        yield
        return
    with warnings.catch_warnings():
        warnings.filters[:] = [  # type: ignore[index]
            ("default" if action == "error" else action, *rest)
            for action, *rest in warnings.filters
        ]
        yield


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
    if torch.backends.mps.is_available():
        mps_state = torch.mps.get_rng_state()
        yield lambda: torch.mps.set_rng_state(mps_state)
