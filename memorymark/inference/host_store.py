"""Moves tensors between a device and the host's memory.

What is put away is no tensor any more, so that nobody counts it as one: the host's memory is a
limit of its own.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memorymark.errors import OutOfHostMemory
from memorymark.units import MIB

# A cache that grows by some tokens finds room in the buffers of its last turn.
_PINNED_STEP = MIB


@dataclass(frozen=True)
class Moved:
    """What one move came to.

    Attributes:
        items: The tensors, or what stands for them on the host.
        moved_bytes: Bytes that went over the link.
        seconds: How long that took; None where it is worked out later.
    """

    items: tuple[Any, ...]
    moved_bytes: int
    seconds: float | None


class HostStore(ABC):
    """The host's memory, beside a device.

    Args:
        capacity_bytes: What may lie in it at most; None for no limit.

    Attributes:
        held_bytes: What lies in it now.
    """

    def __init__(self, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0

    def put(self, tensors: Sequence[Tensor]) -> Moved:
        """Copy tensors to the host.

        Raises:
            OutOfHostMemory: There is no room for them.
        """
        wanted = sum(tensor.nbytes for tensor in tensors)
        if self.capacity_bytes is not None and self.held_bytes + wanted > self.capacity_bytes:
            raise OutOfHostMemory(wanted, self.held_bytes, self.capacity_bytes)
        items, seconds = self._out(tensors)
        self.held_bytes += wanted
        return Moved(tuple(items), wanted, seconds)

    def get(self, items: Sequence[Any]) -> Moved:
        """Copy back to the device what was put away."""
        tensors, seconds = self._back(items)
        moved = sum(tensor.nbytes for tensor in tensors)
        self.held_bytes -= moved
        return Moved(tuple(tensors), moved, seconds)

    @abstractmethod
    def _out(self, tensors: Sequence[Tensor]) -> tuple[list[Any], float | None]: ...

    @abstractmethod
    def _back(self, items: Sequence[Any]) -> tuple[list[Tensor], float | None]: ...


class ArrayStore(HostStore):
    """The host's memory beside a device that is the host itself: arrays that are no tensors."""

    def _out(self, tensors: Sequence[Tensor]) -> tuple[list[Any], float]:
        start = time.perf_counter()
        items = []
        for tensor in tensors:
            kept = np.empty(tensor.nbytes, dtype=np.uint8)
            # Through a view of bytes, since NumPy lacks some of torch's number formats.
            flat = tensor.detach().contiguous().view(-1).view(torch.uint8)
            kept[:] = flat.numpy()
            items.append((kept, tensor.shape, tensor.dtype))
        return items, time.perf_counter() - start

    def _back(self, items: Sequence[Any]) -> tuple[list[Tensor], float]:
        start = time.perf_counter()
        tensors = []
        for kept, shape, dtype in items:
            tensor = torch.empty(shape, dtype=dtype)
            tensor.view(-1).view(torch.uint8).numpy()[:] = kept
            tensors.append(tensor)
        return tensors, time.perf_counter() - start


class PinnedStore(HostStore):
    """Pinned memory beside a CUDA device, reached over a stream of its own.

    Buffers stay pinned for the next tensors that they have room for: pinning takes longer than
    copying. Those that are too small for what comes are let go of.

    Args:
        device: The device.
        capacity_bytes: What may lie in it at most.
    """

    def __init__(self, device: torch.device, capacity_bytes: int | None = None) -> None:
        super().__init__(capacity_bytes)
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._free: list[Tensor] = []

    def _out(self, tensors: Sequence[Tensor]) -> tuple[list[Any], float]:
        buffers = [self._buffer(tensor.nbytes) for tensor in tensors]

        def copy() -> None:
            for buffer, tensor in zip(buffers, tensors, strict=True):
                buffer[: tensor.nbytes].copy_(_as_bytes(tensor), non_blocking=True)

        seconds = self._timed(copy)
        forms = ((tensor.shape, tensor.dtype) for tensor in tensors)
        return [(b, *form) for b, form in zip(buffers, forms, strict=True)], seconds

    def _back(self, items: Sequence[Any]) -> tuple[list[Tensor], float]:
        tensors = [torch.empty(s, dtype=d, device=self._device) for _, s, d in items]

        def copy() -> None:
            for (buffer, _, _), tensor in zip(items, tensors, strict=True):
                _as_bytes(tensor).copy_(buffer[: tensor.nbytes], non_blocking=True)

        seconds = self._timed(copy)
        self._free += [buffer for buffer, _, _ in items]
        return tensors, seconds

    def _buffer(self, size_bytes: int) -> Tensor:
        fitting = [each for each in self._free if each.nbytes >= size_bytes]
        if not fitting:  # a cache has grown: those of its size before are of no more use
            self._free.clear()
            rounded = -(-size_bytes // _PINNED_STEP) * _PINNED_STEP
            return torch.empty(rounded, dtype=torch.uint8, pin_memory=True)
        found = min(fitting, key=lambda buffer: buffer.nbytes)
        self._free = [each for each in self._free if each is not found]
        return found

    def _timed(self, copy: Any) -> float:
        """Run copies on the stream, after what the device does now, and wait for them."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            begin.record()
            copy()
            end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000


def _as_bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(-1).view(torch.uint8)
