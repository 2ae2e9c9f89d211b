"""Stand-ins for torch.cuda and torch.mps: real steps on the CPU, their memory really counted.

While a device is selected, a tracker counts every storage; the functions of the two modules then
answer from it. Roundings, workspaces, retries and other processes are scripted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import create_autospec

import torch

from memorymark.errors import OutOfMemory
from memorymark.gpus.telemetry import Telemetry, read_telemetry
from memorymark.memory.tracker import MemoryTracker
from memorymark.probes.cuda import CudaDevice, CudaProbe
from memorymark.probes.mps import MpsDevice, MpsProbe
from memorymark.records.trial import Trial
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

CPU = torch.device("cpu")


class _Counter(MemoryTracker):
    """Counts storages and raises what the back end raises."""

    def __init__(self, total_bytes: int, make_error: Callable[[str], Exception]) -> None:
        super().__init__("cpu", budget_bytes=total_bytes)
        self.make_error = make_error

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        try:
            return super().__torch_dispatch__(func, types, args, kwargs)
        except OutOfMemory as error:
            raise self.make_error(str(error)) from error

    def limit(self, size_bytes: int) -> None:
        self._budget_bytes = size_bytes


def cuda_oom(text: str) -> Exception:
    return torch.OutOfMemoryError(f"CUDA out of memory. {text}\nSee the documentation.")


def mps_oom(text: str) -> Exception:
    return RuntimeError(f"MPS backend out of memory ({text})")


class FakeCuda:
    """The part of torch.cuda that the probe uses.

    Args:
        total_bytes: The card's memory.
        name: Its name.
        capability: Its compute capability.
        workspace_bytes: What libraries hold at the peak beside tensors.
        retries_from: Live bytes from which each step costs a retry; None for never.
        sticky: Whether the context is broken, so that every call fails.
    """

    def __init__(
        self,
        total_bytes: int = GIB,
        *,
        name: str = "NVIDIA Stand-in",
        capability: tuple[int, int] = (8, 0),
        workspace_bytes: int = 0,
        retries_from: int | None = None,
    ) -> None:
        self.total_bytes = total_bytes
        self.name = name
        self.capability = capability
        self.workspace_bytes = workspace_bytes
        self.retries_from = retries_from
        self.sticky = False
        self.fractions: list[float] = [1.0]
        self.selected: list[int] = []
        self.emptied = 0
        self.counter = _Counter(total_bytes, cuda_oom)
        self._retries = 0

    def get_device_name(self, device: int) -> str:
        return self.name

    def get_device_capability(self, device: int) -> tuple[int, int]:
        return self.capability

    def mem_get_info(self, device: int) -> tuple[int, int]:
        return self.total_bytes - self.counter.live_bytes, self.total_bytes

    @contextmanager
    def device(self, device: int) -> Iterator[None]:
        self.selected.append(device)
        with self.counter:
            yield

    def get_per_process_memory_fraction(self, device: int) -> float:
        return self.fractions[-1]

    def set_per_process_memory_fraction(self, fraction: float, device: int) -> None:
        self._check()
        assert isinstance(fraction, float) and 0 <= fraction <= 1
        self.fractions.append(fraction)
        self.counter.limit(int(fraction * self.total_bytes))

    def memory_allocated(self, device: int) -> int:
        return self.counter.live_bytes

    def memory_reserved(self, device: int) -> int:
        return self.counter.live_bytes + MIB

    def reset_peak_memory_stats(self, device: int) -> None:
        self.counter.reset_peak()

    def max_memory_allocated(self, device: int) -> int:
        return self.counter.peak_bytes + self.workspace_bytes

    def max_memory_reserved(self, device: int) -> int:
        return self.counter.peak_bytes + self.workspace_bytes + 2 * MIB

    def memory_stats(self, device: int) -> dict[str, int]:
        if self.retries_from is not None and self.counter.peak_bytes >= self.retries_from:
            self._retries += 1
        return {"num_alloc_retries": self._retries} if self._retries else {}

    def synchronize(self, device: int) -> None:
        self._check()

    def empty_cache(self) -> None:
        self._check()
        self.emptied += 1

    class Event:
        def __init__(self, enable_timing: bool = False) -> None:
            assert enable_timing
            self.at = 0.0

        def record(self) -> None:
            self.at = time.perf_counter()

        def elapsed_time(self, end_event: Any) -> float:
            return (end_event.at - self.at) * 1000

    def _check(self) -> None:
        if self.sticky:
            raise RuntimeError("CUDA error: an earlier error")


def cuda_probe(
    cuda: FakeCuda | None = None,
    *,
    budget_bytes: int | None = None,
    telemetry: Telemetry | None = None,
    index: int = 0,
) -> CudaProbe:
    """Return a CUDA probe on a stand-in; without telemetry NVML is missing."""
    reading = telemetry or Telemetry(reason="The package nvidia-ml-py is not installed.")
    device = CudaDevice(
        index, budget_bytes, cuda=cuda or FakeCuda(), device=CPU,
        telemetry=create_autospec(read_telemetry, return_value=reading),
    )  # fmt: skip
    return CudaProbe(device=device)


class FakeMps:
    """The part of torch.mps that the probe uses."""

    def __init__(self, total_bytes: int = GIB) -> None:
        self.total_bytes = total_bytes
        self.fractions: list[float] = []
        self.emptied = 0
        self.counter = _Counter(total_bytes, mps_oom)

    def recommended_max_memory(self) -> int:
        return self.total_bytes

    def set_per_process_memory_fraction(self, fraction: float) -> None:
        assert isinstance(fraction, float) and 0 <= fraction <= 2
        self.fractions.append(fraction)
        self.counter.limit(int(fraction * self.total_bytes))

    def current_allocated_memory(self) -> int:
        return self.counter.live_bytes

    def driver_allocated_memory(self) -> int:
        return self.counter.live_bytes + 4 * MIB

    def synchronize(self) -> None:
        pass

    def empty_cache(self) -> None:
        self.emptied += 1


def run_on_mps(mps: FakeMps, *args: Any, budget_bytes: int | None = None, **kwargs: Any) -> Trial:
    """Run a trial on the stand-in for MPS."""
    probe = MpsProbe(device=MpsDevice(budget_bytes, mps=mps, device=CPU))
    with mps.counter:
        return probe.run_trial(TrialSpec(*args, **kwargs))
