"""A stand-in for pynvml over a list of cards, with the package's own errors and structures."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pynvml

GIB = 1024**3


class FakeNvml(ModuleType):
    """The part of pynvml that is used.

    Args:
        cards: The machine's cards, in NVML's order.
        refused: Functions that the driver refuses.
    """

    NVMLError = pynvml.NVMLError
    nvmlMemory_v2 = pynvml.nvmlMemory_v2

    def __init__(self, cards: list[Any], refused: tuple[str, ...] = ()) -> None:
        super().__init__("pynvml")
        self.cards = cards
        self.refused = set(refused)
        self.starts = self.ends = 0

    def _check(self, function: str) -> None:
        if function in self.refused:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)

    def nvmlInit(self):
        self._check("nvmlInit")
        self.starts += 1

    def nvmlShutdown(self):
        self.ends += 1

    def nvmlSystemGetDriverVersion(self):
        return "580.82.07"

    def nvmlDeviceGetCount(self):
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index):
        self._check("nvmlDeviceGetHandleByIndex")
        if not 0 <= index < len(self.cards):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return self.cards[index]

    def nvmlDeviceGetName(self, handle):
        return handle.name

    def nvmlDeviceGetUUID(self, handle):
        return handle.uuid

    def nvmlDeviceGetMigMode(self, device):
        if device.mig is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [device.mig, device.mig]

    def nvmlDeviceGetMemoryInfo(self, handle, version=None):
        assert version in (None, self.nvmlMemory_v2)
        self._check(f"memory v{2 if version else 1}")
        reserved = 0 if version else handle.reserved
        memory = pynvml.c_nvmlMemory_v2_t() if version else pynvml.c_nvmlMemory_t()
        memory.total, memory.used = handle.total, handle.used + reserved
        memory.free = handle.total - handle.used - handle.reserved
        return memory

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        self._check("nvmlDeviceGetComputeRunningProcesses")
        return handle.compute

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle):
        return handle.graphics

    def nvmlSystemGetProcessName(self, pid):
        self._check("nvmlSystemGetProcessName")
        return "/usr/bin/python3"


def process(pid: int, used: int | None) -> Any:
    """A process as pynvml gives it; None where the driver does not say what it holds."""
    fields = {name: None for name, _ in pynvml.c_nvmlProcessInfo_t._fields_}
    assert {"pid", "usedGpuMemory"} <= set(fields)
    return SimpleNamespace(**{**fields, "pid": pid, "usedGpuMemory": used})


def card(number: int, compute: Any = (), graphics: Any = (), mig: int | None = None) -> Any:
    return SimpleNamespace(
        name=f"NVIDIA Test {number}",
        uuid=f"GPU-{number}{number}aa-bb",
        total=24 * GIB,
        used=number * GIB,
        reserved=GIB // 2,
        compute=list(compute),
        graphics=list(graphics),
        mig=mig,
    )
