"""Trials on Apple's GPUs, through torch.mps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from memorymark.probes.accelerator import AcceleratorProbe
from memorymark.probes.back_end import Peak, Usage
from memorymark.records.trial import Source, Target
from memorymark.training.tracked import seconds_of

# What PyTorch's allocator takes by itself, as a multiple of the recommended maximum
# (aten/src/ATen/mps/MPSAllocator.h); there is no call that reads the value in force.
_DEFAULT_FRACTION = 1.7
_FRACTION_VARIABLE = "PYTORCH_MPS_HIGH_WATERMARK_RATIO"


class MpsDevice:
    """The calls to torch.mps that a trial needs.

    Args:
        budget_bytes: What a trial may use; None for what Metal recommends at most.
        mps: The module torch.mps, or a stand-in.
        device: Where tensors live; None for the MPS device.
    """

    def __init__(
        self,
        budget_bytes: int | None = None,
        *,
        mps: Any = torch.mps,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("mps")
        self._mps = mps
        self._allocated = 0
        self._reserved = 0
        self.total_bytes = int(mps.recommended_max_memory())
        self.capacity_bytes = min(budget_bytes or self.total_bytes, self.total_bytes)

    def selected(self) -> AbstractContextManager[Any]:
        """Do nothing: there is one device."""
        return nullcontext()

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Hold the capacity as the allocator's limit, which by default is far above it."""
        self._mps.set_per_process_memory_fraction(self.capacity_bytes / self.total_bytes)
        try:
            yield
        finally:
            self._mps.set_per_process_memory_fraction(_usual_fraction())

    def allocated_bytes(self) -> int:
        """Return the bytes of live tensors now."""
        return int(self._mps.current_allocated_memory())

    def reserved_bytes(self) -> int:
        """Return what Metal's driver has allocated for this process now."""
        return int(self._mps.driver_allocated_memory())

    def reset_peak(self) -> None:
        """Forget the samples so far."""
        self._allocated = self._reserved = 0

    def sample(self, phase: str) -> None:
        """Take note of memory at a change of phase."""
        self._allocated = max(self._allocated, self.allocated_bytes())
        self._reserved = max(self._reserved, self.reserved_bytes())

    def peak(self) -> Peak:
        """Return the largest samples since they were last forgotten."""
        self.sample("")
        return Peak(self._allocated, self._reserved, is_sampled=True)

    def retries(self) -> None:
        """Return None: torch.mps does not count retries."""
        return None

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""
        self._mps.synchronize()

    def time_steps(self, step: Callable[[], None], count: int) -> list[float]:
        """Run steps, each until the device is done, and return the seconds of each."""
        return [seconds_of(step, self.synchronize) for _ in range(count)]

    def release_cache(self) -> None:
        """Give back the allocator's cache."""
        self.synchronize()
        self._mps.empty_cache()

    def usage(self) -> Usage:
        """Return nothing: Metal does not say who holds memory."""
        return Usage()

    def is_poisoned(self, error: BaseException) -> bool:
        """Return False: an error of a Metal kernel leaves the device usable."""
        return False


class MpsProbe(AcceleratorProbe):
    """Runs real training steps on Apple's GPU.

    torch.mps keeps no peaks. Allocated and reserved memory are read at every change of phase of
    the timed steps; the allocated peak is the larger of that and of what the followed steps held,
    so that a peak within a phase is seen too. Scratch memory of kernels in between is not. The
    process reading and the allocator's retries are unknown.

    Args:
        budget_bytes: What a trial may use; None for what Metal recommends at most.
        device: The device's calls; None for the real ones.
    """

    def __init__(self, *, budget_bytes: int | None = None, device: MpsDevice | None = None) -> None:
        device = device or MpsDevice(budget_bytes)
        target = Target(
            name=device_name(),
            kind="mps",
            source=Source.MEASURED,
            capacity_bytes=device.capacity_bytes,
            total_bytes=device.total_bytes,
        )
        super().__init__(device, target)


def device_name() -> str:
    """Return what Metal calls the GPU, where torch passes it on."""
    get_name = getattr(torch.backends.mps, "get_name", None)
    try:
        return f"{get_name()} GPU (MPS)" if get_name is not None else "Apple GPU (MPS)"
    except (AttributeError, RuntimeError):
        return "Apple GPU (MPS)"


def _usual_fraction() -> float:
    try:
        return float(os.environ[_FRACTION_VARIABLE])
    except (KeyError, ValueError):
        return _DEFAULT_FRACTION
