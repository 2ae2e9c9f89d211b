"""Trials on a CUDA device: PyTorch's own statistics, NVML beside them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import torch

from memorymark.gpus.catalogue import Gpu, find_gpu_by_device_name, load_catalogue
from memorymark.gpus.telemetry import Telemetry, read_telemetry
from memorymark.inference.host_store import PinnedStore
from memorymark.memory.oom import is_out_of_memory
from memorymark.probes.accelerator import AcceleratorProbe
from memorymark.probes.back_end import Peak, Usage
from memorymark.probes.host_memory import default_host_bytes
from memorymark.probes.poisoned import check_usable
from memorymark.probes.probe import Probe
from memorymark.probes.session_runs import OnSessionEvent, run_on_accelerator
from memorymark.records.session_run import ContextRoom, SessionRun
from memorymark.records.trial import Source, Target
from memorymark.simulator.allocator.environment import is_set
from memorymark.simulator.torch_compat import release_cublas_workspaces
from memorymark.units import mib_or_gib
from memorymark.workloads.serving_spec import ServingSpec

# Errors after which every later call in the process fails: the CUDA runtime's own texts
# (cudaErrorAssert, cudaErrorIllegalAddress, cudaErrorLaunchFailure and their like).
_FATAL_TEXTS = (
    "device-side assert",
    "illegal memory access",
    "unspecified launch failure",
    "misaligned address",
    "illegal instruction",
    "invalid program counter",
    "launch timed out",
    "hardware stack error",
    "uncorrectable ECC error",
)
_LIBRARY_TEXTS = ("cuda", "cublas", "cudnn", "nvrtc", "cufft", "cusolver", "cusparse")
_SAME_CARD = 0.05
_NOTEWORTHY = 0.01
_NAMED = 3


class CudaDevice:
    """The calls to torch.cuda and NVML that a trial needs, for one device.

    Args:
        index: Number of the device, as torch counts.
        budget_bytes: What a trial may use; None for the whole device.
        cuda: The module torch.cuda, or a stand-in.
        device: Where tensors live; None for the CUDA device.
        telemetry: Reads NVML by the device's number.
    """

    def __init__(
        self,
        index: int = 0,
        budget_bytes: int | None = None,
        *,
        cuda: Any = torch.cuda,
        device: torch.device | None = None,
        telemetry: Callable[[int], Telemetry] = read_telemetry,
    ) -> None:
        self.index = index
        self.device = device or torch.device("cuda", index)
        self._cuda = cuda
        self._telemetry = telemetry
        self.name = str(cuda.get_device_name(index))
        self.total_bytes = int(cuda.mem_get_info(index)[1])
        self.capacity_bytes = min(budget_bytes or self.total_bytes, self.total_bytes)
        major, minor = cuda.get_device_capability(index)
        self.compute_capability = (int(major), int(minor))

    def selected(self) -> AbstractContextManager[Any]:
        """Make the device the current one."""
        return self._cuda.device(self.index)

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Hold the budget as the allocator's limit for this process."""
        if self.capacity_bytes >= self.total_bytes:
            yield
            return
        before = self._cuda.get_per_process_memory_fraction(self.index)
        fraction = self.capacity_bytes / self.total_bytes
        self._cuda.set_per_process_memory_fraction(fraction, self.index)
        try:
            yield
        finally:
            # On a broken device this fails too, and would hide the error that says so.
            with suppress(RuntimeError):
                self._cuda.set_per_process_memory_fraction(before, self.index)

    def allocated_bytes(self) -> int:
        """Return the bytes of live tensors now."""
        return int(self._cuda.memory_allocated(self.index))

    def reserved_bytes(self) -> int:
        """Return the bytes that the caching allocator holds now."""
        return int(self._cuda.memory_reserved(self.index))

    def free_bytes(self) -> int:
        """Return the bytes that no process holds now."""
        return int(self._cuda.mem_get_info(self.index)[0])

    def reset_peak(self) -> None:
        """Start the peak statistics anew from what is held now."""
        self._cuda.reset_peak_memory_stats(self.index)

    def sample(self, phase: str) -> None:
        """Do nothing: CUDA's allocator keeps peaks itself."""

    def split_bytes(self) -> int:
        """Return what lies unused in blocks of which other parts are in use."""
        stats = self._cuda.memory_stats(self.index)
        return int(stats.get("inactive_split_bytes.all.current", 0))

    def usable_bytes(self) -> int:
        """Return what the allocator may take now: within the budget, beside other processes."""
        return min(self.capacity_bytes, self.free_bytes() + self.reserved_bytes())

    def process_bytes(self) -> int | None:
        """Return what NVML says that this process holds; None where it does not."""
        return self._telemetry(self.index).own_bytes

    def peak_bytes(self) -> tuple[int, int]:
        """Return the most that was allocated and reserved since the peaks were reset."""
        peak = self.peak()
        return peak.allocated_bytes, peak.reserved_bytes

    def peak(self) -> Peak:
        """Return the peaks since they were last reset."""
        return Peak(
            int(self._cuda.max_memory_allocated(self.index)),
            int(self._cuda.max_memory_reserved(self.index)),
        )

    def retries(self) -> int:
        """Return how often the allocator has given back its cache and tried again."""
        return int(self._cuda.memory_stats(self.index).get("num_alloc_retries", 0))

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""
        self._cuda.synchronize(self.index)

    def time_steps(self, step: Callable[[], None], count: int) -> list[float]:
        """Run steps between device events and return the seconds of each."""
        events = [self._cuda.Event(enable_timing=True) for _ in range(count + 1)]
        events[0].record()
        for event in events[1:]:
            step()
            event.record()
        self.synchronize()
        return [a.elapsed_time(b) / 1000 for a, b in itertools.pairwise(events)]

    def release_cache(self) -> None:
        """Give back cuBLAS's workspaces, which its handles keep, and the allocator's cache."""
        self.synchronize()
        release_cublas_workspaces()
        self._cuda.empty_cache()

    def usage(self) -> Usage:
        """Ask NVML what this process and others hold; unknown where NVML does not say."""
        reading = self._telemetry(self.index)
        return Usage(reading.own_bytes, _others(reading, self.total_bytes))

    def is_poisoned(self, error: BaseException) -> bool:
        """Return whether the error has broken the context for the whole process."""
        text = str(error)
        if not isinstance(error, RuntimeError) or is_out_of_memory(error):
            return False
        if any(fatal in text for fatal in _FATAL_TEXTS):
            return True
        if not any(library in text.lower() for library in _LIBRARY_TEXTS):
            return False
        # Other errors of CUDA may be harmless; a broken context fails at the next call as well.
        try:
            self.synchronize()
        except RuntimeError:
            return True
        return False


class CudaProbe(AcceleratorProbe):
    """Runs real training steps on a CUDA device.

    Peak readings are those of PyTorch's allocator over the timed steps, after warm-up steps. The
    process reading is what NVML says of this process, its CUDA context included, at that peak;
    it is unknown where NVML is missing or sees the process ids of another container. Memory that
    other processes hold is reported, not subtracted from the capacity.

    Args:
        index: Number of the device, as torch counts.
        budget_bytes: What a trial may use, held through the allocator's limit for a process;
            None for the whole device.
        device: The device's calls; None for the real ones.
    """

    def __init__(
        self,
        index: int = 0,
        *,
        budget_bytes: int | None = None,
        device: CudaDevice | None = None,
    ) -> None:
        device = device or CudaDevice(index, budget_bytes)
        gpu = catalogue_row(device.name, device.total_bytes)
        self._compute_capability = device.compute_capability
        self._cuda_device = device
        target = Target(
            name=device.name,
            kind="cuda",
            source=Source.MEASURED,
            capacity_bytes=device.capacity_bytes,
            total_bytes=device.total_bytes,
            gpu_key=gpu.key if gpu else None,
            index=device.index,
        )
        super().__init__(device, target)

    def run_sessions(
        self,
        spec: ServingSpec,
        host_bytes: int | None = None,
        on_event: OnSessionEvent = lambda event: None,
    ) -> SessionRun:
        """Let sessions take their turns; caches are swapped to pinned memory of the host.

        Whoever calls it holds the device's lease: peak statistics belong to the whole process.

        Raises:
            PoisonedDevice: The device can run nothing more in this process.
            MemoryMarkError: The workload cannot be built or fed.
        """
        check_usable(self.target)
        device, spec = self._cuda_device, _as_it_is_set_up(spec)
        self._models.release()
        with device.selected(), device.limited():
            device.release_cache()
            try:
                store = PinnedStore(device.device, host_bytes or default_host_bytes())
                run = run_on_accelerator(spec, self.target, device.device, device, store, on_event)
            except RuntimeError as error:
                self._stop_if_poisoned(error)
                raise
            device.release_cache()
        return run

    def session_rooms(self, spec: ServingSpec, contexts: Sequence[int]) -> tuple[ContextRoom, ...]:
        """Return what a session of each context needs, by simulating the card."""
        simulation = self.simulation()
        return () if simulation is None else simulation.session_rooms(spec, contexts)

    def simulation(self) -> Probe | None:
        """Return a probe that simulates the card, or one of its generation with its memory."""
        from memorymark.probes.simulated import SimulatedProbe

        gpu = gpu_like(self.target, self._compute_capability)
        if gpu is None:
            return None
        return SimulatedProbe(gpu, budget_bytes=self.target.capacity_bytes)


def _as_it_is_set_up(spec: ServingSpec) -> ServingSpec:
    """Return the spec with the segments that this process's allocator has."""
    config = dataclasses.replace(spec.config, expandable_segments=is_set())
    return dataclasses.replace(spec, config=config)


def gpu_like(target: Target, compute_capability: tuple[int, int]) -> Gpu | None:
    """Return the catalogue's row of a device, or one of its generation with its memory."""
    catalogue = load_catalogue()
    if target.gpu_key is not None:
        return catalogue[target.gpu_key]
    for gpu in catalogue.values():
        if gpu.compute_capability == compute_capability and target.total_bytes:
            size = target.total_bytes
            return dataclasses.replace(gpu, name=target.name, total_bytes=size, host_link=None)
    return None


def catalogue_row(device_name: str, total_bytes: int) -> Gpu | None:
    """Return the catalogue's row of a device; some cards share a name and differ in memory."""
    gpu = find_gpu_by_device_name(device_name)
    if gpu is None or abs(gpu.total_bytes - total_bytes) > _SAME_CARD * gpu.total_bytes:
        return None
    return gpu


def _others(reading: Telemetry, total_bytes: int) -> str | None:
    known = [p for p in reading.other_processes or () if p.used_bytes]
    held = sum(process.used_bytes or 0 for process in known)
    if reading.own_bytes is None or held < _NOTEWORTHY * total_bytes:
        return None  # where this process cannot be told apart, it is among the "others"
    names = [process.name or f"process {process.pid}" for process in known[:_NAMED]]
    return f"Other processes use {mib_or_gib(held)} of this device's memory ({', '.join(names)})."
