"""Memory of a generation while it runs: counted on the CPU, asked of the allocator elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import nn

from memorymark.errors import NotAvailable
from memorymark.inference.generation_tensors import GenerationTensors
from memorymark.memory.tracker import MemoryTracker
from memorymark.probes.accelerator import AcceleratorProbe
from memorymark.probes.back_end import AcceleratorDevice
from memorymark.probes.cpu import CpuProbe
from memorymark.probes.probe import Probe


class GenerationMeter(Protocol):
    """Reads the memory of a generation.

    Attributes:
        device: Where it runs.
    """

    device: torch.device

    def selected(self) -> AbstractContextManager[None]:
        """Make the device the current one, and hold its budget."""

    def watching(
        self,
        model: nn.Module,
        tensors: GenerationTensors,
        check: Callable[[], None],
        *,
        is_predicted: bool,
    ) -> AbstractContextManager[None]:
        """Watch what is held from here on, beside a model and what it reads.

        Args:
            model: The model, on the device.
            tensors: What the generation has before it begins, on the device.
            check: Called often; raises where the work is to end.
            is_predicted: Whether it was found before that the budget suffices.
        """

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""

    def peak_bytes(self) -> tuple[int, int | None]:
        """Return the most bytes of live tensors, and of what the allocator held if there is one."""

    def release(self) -> None:
        """Give back what the allocator holds without using it."""


def meter_of(probe: Probe) -> GenerationMeter:
    """Return what reads the memory of a generation on a probe's device.

    Raises:
        NotAvailable: The probe is another one than those of a real device.
    """
    if isinstance(probe, AcceleratorProbe):
        return AcceleratorMeter(probe.device)
    if isinstance(probe, CpuProbe):
        return CpuMeter(probe.target.capacity_bytes)
    raise NotAvailable(
        f"{probe.target.name} generates nothing: generation runs on a device of this machine."
    )


class CpuMeter:
    """Counts storages on the CPU.

    Args:
        budget_bytes: The most that may be live; None for no limit.
    """

    device = torch.device("cpu")

    def __init__(self, budget_bytes: int | None = None) -> None:
        self._budget_bytes = budget_bytes
        self._tracker = MemoryTracker("cpu")

    @contextmanager
    def selected(self) -> Iterator[None]:
        """Do nothing: there is one device."""
        yield

    @contextmanager
    def watching(
        self,
        model: nn.Module,
        tensors: GenerationTensors,
        check: Callable[[], None],
        *,
        is_predicted: bool,
    ) -> Iterator[None]:
        """Follow every storage."""
        tracker = MemoryTracker(
            "cpu", budget_bytes=self._budget_bytes, on_operation=check,
            looks_ahead=not is_predicted,
        )  # fmt: skip
        self._tracker = tracker
        try:
            with tracker:
                tracker.add(model.named_parameters(), "parameters")
                tracker.add(model.named_buffers(), "temporaries")
                tracker.add(tensors.named(), "inputs")
                yield
        finally:
            tracker.stop()

    def synchronize(self) -> None:
        """Do nothing: what is done is done."""

    def peak_bytes(self) -> tuple[int, None]:
        """Return the most bytes that were counted."""
        return self._tracker.peak_bytes, None

    def release(self) -> None:
        """Do nothing: there is no allocator between."""


class AcceleratorMeter:
    """Asks an accelerator's allocator.

    Args:
        device: The back end's calls.
    """

    def __init__(self, device: AcceleratorDevice) -> None:
        self.device = device.device
        self._calls = device

    @contextmanager
    def selected(self) -> Iterator[None]:
        """Make the device the current one, and hold its budget."""
        with self._calls.selected(), self._calls.limited():
            yield

    @contextmanager
    def watching(
        self,
        model: nn.Module,
        tensors: GenerationTensors,
        check: Callable[[], None],
        *,
        is_predicted: bool,
    ) -> Iterator[None]:
        """Start the peak statistics anew."""
        self._calls.synchronize()
        self._calls.reset_peak()
        yield
        self._calls.synchronize()

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""
        self._calls.synchronize()

    def peak_bytes(self) -> tuple[int, int | None]:
        """Return the allocator's peaks."""
        self._calls.sample("token")
        peak = self._calls.peak()
        return peak.allocated_bytes, peak.reserved_bytes

    def release(self) -> None:
        """Give back the allocator's cache."""
        self._calls.release_cache()
