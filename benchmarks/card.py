"""Facts of the card that is measured, and what a process takes on it beside the allocator."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from typing import Any

import torch

from memorymark.gpus.telemetry import read_telemetry
from memorymark.units import MIB

_SMI_SECONDS = 20


class Card:
    """One CUDA device. Make it before anything else has started CUDA in this process.

    What other processes hold is read here, through NVML or nvidia-smi, while this process holds
    nothing yet; it is taken to stay the same.

    Args:
        index: Number of the device, as torch counts.
        cuda: The module torch.cuda, or a stand-in.
    """

    def __init__(self, index: int = 0, *, cuda: Any = torch.cuda) -> None:
        self.index = index
        self._cuda = cuda
        self.others_bytes = used_bytes(index)

    def facts(self) -> dict[str, Any]:
        """Return the card, its driver and what of the environment changes memory."""
        properties = self._cuda.get_device_properties(self.index)
        settings = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "CUDA_MODULE_LOADING")
        return {
            "gpu": self._cuda.get_device_name(self.index),
            "compute_capability": list(self._cuda.get_device_capability(self.index)),
            "total_bytes": self._cuda.mem_get_info(self.index)[1],
            "multiprocessors": properties.multi_processor_count,
            "driver_version": driver_version(self.index),
            "cudnn_version": torch.backends.cudnn.version(),
            "others_bytes": self.others_bytes,
            "environment": {name: os.environ[name] for name in settings if name in os.environ},
            "operating_system": platform.platform(),
            "cpu_cores": os.cpu_count(),
        }

    def context_bytes(self) -> int:
        """Return what this process takes beside the allocator: context, kernels, libraries.

        Others' memory is taken off where it is known.
        """
        free_bytes, total_bytes = self._cuda.mem_get_info(self.index)
        taken_bytes = total_bytes - free_bytes - self._cuda.memory_reserved(self.index)
        return int(taken_bytes - (self.others_bytes or 0))

    def release_cache(self) -> None:
        """Give back what the allocator holds without using it."""
        self._cuda.empty_cache()


def used_bytes(index: int) -> int | None:
    """Return what all processes hold on a card; None where nobody says."""
    reading = read_telemetry(index).used_bytes
    if reading is not None:
        return int(reading)
    answer = _ask_smi("memory.used", index)
    return int(answer) * MIB if answer is not None and answer.isdigit() else None


def driver_version(index: int) -> str | None:
    """Return the driver's version; None where nobody says."""
    return read_telemetry(index).driver_version or _ask_smi("driver_version", index)


def _ask_smi(what: str, index: int) -> str | None:
    """Ask nvidia-smi, which is there where the Python binding of NVML is not."""
    program = shutil.which("nvidia-smi")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    card = visible[index] if index < len(visible) and visible[index] else str(index)
    if program is None:
        return None
    call = [program, f"--query-gpu={what}", "--format=csv,noheader,nounits", f"--id={card}"]
    try:
        done = subprocess.run(
            call, capture_output=True, text=True, timeout=_SMI_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if lines else None
