"""Lets code of a training on the host run as if the host were the device that is simulated.

A script that trains on the CPU makes tensors without naming a device, or names the CPU: beside a
model without data these would be on another device, where in the script they are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from memorymark.placement.pretended_gpu import default_device, set_default_device

_DEVICE = torch.device("cuda", 0)


@contextmanager
def host_as_device() -> Iterator[None]:
    """Put what is made on the host inside on the simulated device, in `pretending`."""
    outer = default_device()
    set_default_device(outer or _DEVICE)
    try:
        with _HostMode():
            yield
    finally:
        set_default_device(outer)


class _HostMode(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.to and _is_without_data(args[0]):
            args = tuple(_DEVICE if _is_host(x) else x for x in args)
        if _is_host(kwargs.get("device")) and func is not torch.device:
            kwargs = {**kwargs, "device": _DEVICE}
        return func(*args, **kwargs)


def _is_without_data(tensor: Tensor) -> bool:
    """Return what is so; asked in the mode itself, it would be what the user's code is told."""
    return tensor.is_meta


def _is_host(x: Any) -> bool:
    return isinstance(x, str | torch.device) and torch.device(x).type == "cpu"
