"""Chooses the probe for a device or a GPU.

Nothing heavy is loaded before the arguments are validated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from memorymark.errors import DeviceError, InvalidValue, UnknownChoice
from memorymark.gpus.catalogue import DEFAULT_GPU, Gpu, find_gpu

if TYPE_CHECKING:
    import torch

    from memorymark.probes.probe import Probe

DEVICES = ("cuda", "mps", "cpu")
_DEVICE = re.compile(r"(cuda|mps|cpu)(?::([0-9]{1,3}))?")
_WITHOUT = "Simulate a GPU of the catalogue (gpu), or use the device cpu."


def resolve_probe(
    device: str | None = None, gpu: str | None = None, memory_budget: int | None = None
) -> Probe:
    """Return the probe for a device, for a simulated GPU, or for what this machine has.

    With neither device nor GPU: the CUDA device if there is one, else a simulation of the
    catalogue's default GPU.

    Args:
        device: cuda, cuda:N, mps or cpu.
        gpu: Key of the GPU catalogue.
        memory_budget: The most bytes that a trial may use.

    Raises:
        UsageError: There is no device or GPU of that name.
        DeviceError: There is no such device here.
    """
    if gpu is None and (device is not None or has_cuda()):
        return device_probe("cuda" if device is None else device, memory_budget)
    return simulated_probe(find_gpu(DEFAULT_GPU if gpu is None else gpu), memory_budget)


def measuring_probe(device: str | None = None, memory_budget: int | None = None) -> Probe:
    """Return the probe for a real device; without a name CUDA, else MPS, else the CPU.

    Raises:
        UsageError: There is no device of that name.
        DeviceError: There is no such device here.
    """
    return device_probe(_best_device() if device is None else device, memory_budget)


def device_probe(device: str, budget_bytes: int | None = None) -> Probe:
    """Return the probe for a real device.

    Raises:
        UnknownChoice: It is no device's name.
        DeviceError: There is no such device here.
    """
    kind, index = parse_device(device)
    if kind == "cuda":
        _check_cuda(index)
        from memorymark.probes.cuda import CudaProbe

        return CudaProbe(index, budget_bytes=budget_bytes)
    if kind == "mps":
        _check_mps()
        from memorymark.probes.mps import MpsProbe

        return MpsProbe(budget_bytes=budget_bytes)
    from memorymark.probes.cpu import CpuProbe

    return CpuProbe(budget_bytes)


def probe_of_process(
    device: str, own_bytes: Callable[[torch.device], int], budget_bytes: int | None = None
) -> Probe:
    """Return what simulates a step on a CUDA device, beside what this process holds on it.

    Args:
        device: cuda or cuda:N.
        own_bytes: What the training that is simulated holds on a device already.
        budget_bytes: The most bytes that a trial may use.

    Raises:
        UnknownChoice: It is no device's name.
        InvalidValue: It is no CUDA device.
        DeviceError: There is no such device here.
    """
    kind, index = parse_device(device)
    if device == "cuda":
        index = _current_cuda_device()
    if kind != "cuda":
        accepted = "cuda or cuda:N; what fits is simulated, for another GPU by gpu="
        raise InvalidValue("device", device, accepted)
    if not has_cuda():
        raise DeviceError("No CUDA device is available. Name a GPU of the catalogue: gpu='l4'.")
    _check_cuda(index)
    from memorymark.probes.process_probe import process_probe

    return process_probe(index, own_bytes, budget_bytes)


def simulated_probe(gpu: Gpu, budget_bytes: int | None = None) -> Probe:
    """Return the probe that simulates a GPU."""
    from memorymark.probes.simulated import SimulatedProbe

    return SimulatedProbe(gpu, budget_bytes=budget_bytes)


def share_simulations(probes: Iterable[Probe]) -> None:
    """Let the simulated ones among probes simulate together what they have in common."""
    from memorymark.probes.simulated import SimulatedProbe
    from memorymark.probes.simulations import Simulations

    shared = Simulations()
    for probe in probes:
        if isinstance(probe, SimulatedProbe):
            probe.share(shared)


def parse_device(device: str) -> tuple[str, int]:
    """Return kind and number of a device: "cuda:1" is ("cuda", 1).

    Raises:
        UnknownChoice: It is no device's name.
    """
    match = _DEVICE.fullmatch(str(device).strip().lower())
    if match is None or (match[1] != "cuda" and int(match[2] or 0)):
        raise UnknownChoice("device", str(device), DEVICES, "One of several cards: cuda:1.")
    return match[1], int(match[2] or 0)


def has_cuda() -> bool:
    """Return whether torch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


def _current_cuda_device() -> int:
    """Return the number of the CUDA device that this process has chosen; asking starts none."""
    import torch

    return torch.cuda.current_device() if torch.cuda.is_initialized() else 0


def _best_device() -> str:
    import torch

    if has_cuda():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check_cuda(index: int) -> None:
    import torch

    if not has_cuda():
        why = "detects none" if torch.version.cuda else "was built without CUDA"
        raise DeviceError(
            f"No CUDA device is available: torch {torch.__version__} {why}. {_WITHOUT}"
        )
    count = torch.cuda.device_count()
    if index >= count:
        names = ", ".join(f"cuda:{number}" for number in range(count))
        raise DeviceError(f"There is no device cuda:{index}; available: {names}.")


def _check_mps() -> None:
    import torch

    if not torch.backends.mps.is_available():
        why = "detects none" if torch.backends.mps.is_built() else "was built without MPS"
        raise DeviceError(
            f"No MPS device is available: torch {torch.__version__} {why}. {_WITHOUT}"
        )
