"""Facts about this machine, collected without network access."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
from typing import Any

from memorymark.gpus.telemetry import read_telemetry
from memorymark.settings import load_settings

SIMULATION = "memorymark.probes.simulated"
PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "timm",
    "bitsandbytes",
    "streamlit",
    "nvidia-ml-py",
)


def describe_machine() -> dict[str, Any]:
    """Return this machine's facts, ready for JSON. An unknown one is None."""
    cuda, mps = _torch_devices()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu_cores": os.cpu_count(),
        "free_memory_bytes": _free_memory_bytes(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cuda_devices": cuda,
        "mps": mps,
        "nvml": [_nvml_card(index) for index in range(max(1, len(cuda)))],
        "home": str(load_settings().home),
        "can": _abilities(bool(cuda), bool(mps)),
    }


def _free_memory_bytes() -> int | None:
    if not _is_installed("torch"):
        return None
    from memorymark.probes.host_memory import free_memory_bytes

    return free_memory_bytes()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch_devices() -> tuple[list[str], bool | None]:
    """Name the CUDA devices that torch sees, and say whether MPS is there."""
    if not _is_installed("torch"):
        return [], None
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return names, torch.backends.mps.is_available()


def _nvml_card(index: int) -> dict[str, Any]:
    """Say what the driver's library says of a card; `reason` where it says nothing."""
    values = dataclasses.asdict(read_telemetry(index))
    del values["other_processes"]
    return values


def _abilities(cuda: bool, mps: bool) -> list[str]:
    there = {"cuda": cuda, "mps": mps, "cpu": _is_installed("torch")}
    measured = [f"measure on {name}" for name, is_there in there.items() if is_there]
    simulated = ["simulate the catalogue's GPUs"] if _is_installed(SIMULATION) else []
    return [*measured, *simulated]


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
