"""A simulation holds this thread's rules, and PyTorch's few places that refuse meta tensors.

Only one simulation runs at a time: Python's garbage collector, which is held back meanwhile,
and the patched functions belong to the process. The patches change answers for the device type
"meta" alone, for which PyTorch would otherwise raise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.amp import autocast_mode

from memorymark.placement.patches import patched, simulation_lock
from memorymark.simulator import torch_compat
from memorymark.simulator.allocator import environment
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.questions import Questions

# Autocast keeps its state by device type and has none for meta. This slot is free on every
# machine without such a device, and asks for no driver.
AUTOCAST_SLOT = "xpu"

_local = threading.local()


class Session:
    """One simulation on this thread.

    Attributes:
        rules: The simulated device.
        questions: What was asked and is not known.
        cast_cache: Weights in autocast's lower format, by the weight's identity.
        on_autocast: Called when a region of mixed precision begins, the user's own included.
    """

    def __init__(self, rules: Rules, questions: Questions | None = None) -> None:
        self.rules = rules
        self.questions = questions or Questions()
        self._noted: dict[str, None] = {}
        self.cast_cache: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.on_autocast: Callable[[], None] = lambda: None
        self._is_silent = False

    def assume(self, sentence: str) -> None:
        """Note something that was answered or allowed for."""
        if not self._is_silent:
            self._noted.setdefault(sentence)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Note nothing of what is inside: its answers change neither memory nor seconds."""
        before, self._is_silent = self._is_silent, True
        try:
            yield
        finally:
            self._is_silent = before

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was answered or allowed for, and what torch lacks, one sentence each, in order.

        What torch lacks is asked for at the end: a file of rules may be loaded late.
        """
        missing = torch_compat.missing_operations()
        return (*self._noted, missing) if missing else tuple(self._noted)


def current() -> Session | None:
    """Return the session of this thread, None outside of a simulation."""
    return getattr(_local, "session", None)


@contextmanager
def simulating(rules: Rules, questions: Questions | None = None) -> Iterator[Session]:
    """Run what is inside under the rules; other simulations wait.

    Args:
        rules: The simulated device.
        questions: Says how questions with no known answer are answered.

    Raises:
        IncompatibleTorch: This torch lacks private parts that are relied on.
    """
    torch_compat.check()
    with simulation_lock, patched(_patches(rules)):
        outer, session = current(), Session(rules, questions)
        noted = torch_compat.untested_version()
        allocator = environment.assumptions() if rules.is_cuda else ()
        for sentence in (noted, rules.assumption, *allocator):
            if sentence:
                session.assume(sentence)
        _local.session = session
        before = torch.get_autocast_dtype(AUTOCAST_SLOT)
        torch.set_autocast_dtype(AUTOCAST_SLOT, torch.float16)  # what CUDA's is by default
        try:
            yield session
        finally:
            torch.set_autocast_dtype(AUTOCAST_SLOT, before)
            session.cast_cache.clear()
            _local.session = outer


def _patches(rules: Rules) -> Iterator[tuple[Any, str, Any]]:
    yield torch, "is_autocast_enabled", _for_slot(torch.is_autocast_enabled)
    yield torch, "get_autocast_dtype", _for_slot(torch.get_autocast_dtype)
    yield torch, "get_autocast_gpu_dtype", _for_slot(torch.get_autocast_dtype)
    yield torch, "set_autocast_enabled", _enabling(_for_slot(torch.set_autocast_enabled))
    yield torch, "set_autocast_dtype", _for_slot(torch.set_autocast_dtype)
    yield torch, "clear_autocast_cache", _clearing(torch.clear_autocast_cache)
    available = _for_slot(autocast_mode.is_autocast_available)
    yield autocast_mode, "is_autocast_available", available
    yield torch.amp, "is_autocast_available", available
    yield autocast_mode.autocast, "__init__", _slot_init(autocast_mode.autocast.__init__)
    yield torch, "tensor", _with_values(torch.tensor)
    yield torch, "as_tensor", _with_values(torch.as_tensor)
    yield torch.Tensor, "__format__", _format_element
    fused_devices = getattr(*torch_compat.FUSED_DEVICES)
    yield *torch_compat.FUSED_DEVICES, lambda: [*fused_devices(), "meta"]
    for target, name in torch_compat.FOREACH_DEVICES if rules.platform is Platform.CUDA else ():
        yield target, name, _and_meta(getattr(target, name))


def _and_meta(devices: Callable[[], list[str]]) -> Callable[[], list[str]]:
    return lambda: [*devices(), "meta"]


def _for_slot(function: Any) -> Any:
    """Let "meta" mean the slot, and in a simulation "cuda" too, which is meant without a name."""

    def with_slot(*args: Any, **kwargs: Any) -> Any:
        args = (*args, *kwargs.values())
        names = ("meta",) if current() is None else ("meta", "cuda")
        if current() is not None and not (args and isinstance(args[0], str)):
            args = (AUTOCAST_SLOT, *args)
        return function(*(AUTOCAST_SLOT if arg in names else arg for arg in args))

    return with_slot


def _enabling(set_enabled: Any) -> Any:
    def set_and_tell(*args: Any) -> None:
        session = current()
        if session is not None and args[-1]:
            session.on_autocast()
        set_enabled(*args)

    return set_and_tell


def _slot_init(init: Any) -> Any:
    def with_slot(self: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
        # A model that names its device in the code means the one that is simulated.
        simulated = current() is not None and device_type in ("meta", "cuda")
        init(self, AUTOCAST_SLOT if simulated else device_type, *args, **kwargs)

    return with_slot


def _with_values(make: Any) -> Any:
    """Make the tensor on the host first: made without data, its values would be lost."""

    def make_on_host(data: Any, *args: Any, **kwargs: Any) -> Any:
        empty = isinstance(data, list) and not data
        if current() is None or isinstance(data, torch.Tensor) or empty:
            return make(data, *args, **kwargs)
        # torch.get_default_device() calls torch.tensor itself in some versions.
        target = kwargs.get("device") or make([]).device
        if not _is_simulated_device(target):
            return make(data, *args, **kwargs)
        requires_grad = kwargs.pop("requires_grad", False)
        made = make(_as_values(data), *args, **{**kwargs, "device": "cpu"}).to("meta")
        return made.requires_grad_() if requires_grad else made

    return make_on_host


def _as_values(data: Any) -> Any:
    """Read the elements without data among numbers: torch would ask them past the simulation."""
    if isinstance(data, list | tuple):
        return [_as_values(item) for item in data]
    return data.item() if isinstance(data, torch.Tensor) and data.is_meta else data


_format_tensor = torch.Tensor.__format__


def _format_element(self: torch.Tensor, format_spec: str) -> str:
    """Format an element without data as its value, as on any other device."""
    if current() is not None and self.is_meta and self.dim() == 0:
        return format(self.item(), format_spec)
    return _format_tensor(self, format_spec)


def _is_simulated_device(device: Any) -> bool:
    """Whether it is the simulated one, also by the name under which the user's code knows it."""
    return isinstance(device, str | torch.device) and torch.device(device).type in ("meta", "cuda")


def _clearing(clear: Any) -> Any:
    def clear_both() -> None:
        session = current()
        if session is not None:
            session.cast_cache.clear()
        clear()

    return clear_both
