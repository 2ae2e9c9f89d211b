"""What this machine is and can do, without a look at the network."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from typing import Any

from memorymark.settings import load_settings

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
        "free_memory_bytes": free_memory_bytes(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cuda_devices": cuda,
        "mps": mps,
        "gpus": _nvml_gpus(),
        "home": str(load_settings().home),
        "can": _abilities(bool(cuda), bool(mps)),
    }


def free_memory_bytes() -> int | None:
    """Return the host memory that is free for new work, None where the system does not say."""
    try:
        with open("/proc/meminfo") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch_devices() -> tuple[list[str], bool | None]:
    """Name the CUDA devices that torch sees, and say whether MPS is there."""
    if importlib.util.find_spec("torch") is None:
        return [], None
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return names, torch.backends.mps.is_available()


def _nvml_gpus() -> list[dict[str, Any]]:
    """List the GPUs that the driver's library names; none where there is no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        return []
    try:
        return [_nvml_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def _nvml_gpu(pynvml: Any, index: int) -> dict[str, Any]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        "index": index,
        "name": pynvml.nvmlDeviceGetName(handle),
        "total_bytes": memory.total,
        "free_bytes": memory.free,
    }


def _abilities(cuda: bool, mps: bool) -> list[str]:
    measured = [name for name, there in (("cuda", cuda), ("mps", mps), ("cpu", True)) if there]
    return [f"measure on {name}" for name in measured]
