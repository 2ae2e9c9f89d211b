"""What NVML says of a card: its memory, and who uses it.

NVML counts cards in PCI order and knows nothing of CUDA_VISIBLE_DEVICES, so a device of torch is
found by its UUID. Reading never raises: where NVML, its driver, a permission or a figure is
missing, the answer holds None and the reason. Inside a container NVML reports the process ids of
the host; then neither this process nor the names of others can be told.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

_HOST_PID_NAMESPACE_INODE = 0xEFFFFFFC  # PROC_PID_INIT_INO of Linux, include/linux/proc_ns.h
_FAILURES = (OSError, AttributeError, UnicodeDecodeError, ValueError)


@dataclass(frozen=True)
class GpuProcess:
    """A process that uses a card.

    Attributes:
        pid: Its id, as NVML counts.
        name: Its program; None where it cannot be told.
        user: Its owner; None where it cannot be told.
        used_bytes: Memory that it holds on the card; None where the driver does not say.
    """

    pid: int
    name: str | None
    user: str | None
    used_bytes: int | None


@dataclass(frozen=True)
class Telemetry:
    """One reading of one card. Every field but `reason` may be unknown.

    Attributes:
        name: What the driver calls the card.
        uuid: The card's UUID.
        driver_version: Version of the driver.
        total_bytes: Memory of the card.
        used_bytes: Memory in use by all processes.
        free_bytes: Memory not in use.
        own_bytes: Memory that this process holds, its CUDA context included.
        other_processes: The other processes on the card; None where they cannot be told.
        reason: Why something is missing; None where all was read.
    """

    name: str | None = None
    uuid: str | None = None
    driver_version: str | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    free_bytes: int | None = None
    own_bytes: int | None = None
    other_processes: tuple[GpuProcess, ...] | None = None
    reason: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether NVML knows the card."""
        return self.uuid is not None or self.name is not None


def read_telemetry(device_index: int = 0, *, uuid: str | None = None) -> Telemetry:
    """Read a card's memory and processes.

    Args:
        device_index: The device by torch's count, that is, within CUDA_VISIBLE_DEVICES.
        uuid: The card's UUID, with or without "GPU-"; then the index does not matter.
    """
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return Telemetry(reason="The package nvidia-ml-py is not installed.")
    nvml_errors = (nvml.NVMLError, *_FAILURES)
    try:
        nvml.nvmlInit()
    except nvml_errors as error:
        return Telemetry(reason=f"NVML cannot be initialized: {error}.")
    try:
        return _read(_Asker(nvml, nvml_errors), device_index, uuid or _torch_uuid(device_index))
    finally:
        _Asker(nvml, nvml_errors).ask("nvmlShutdown")


class _Asker:
    """Asks NVML; an answer that it refuses is None."""

    def __init__(self, nvml: ModuleType, errors: tuple[type[BaseException], ...]) -> None:
        self.nvml = nvml
        self._errors = errors
        self.refusal: str | None = None

    def ask(self, function: str, *arguments: Any) -> Any:
        try:
            return getattr(self.nvml, function)(*arguments)
        except self._errors as error:
            self.refusal = f"{function}: {error}"
            return None


def _read(asker: _Asker, device_index: int, uuid: str | None) -> Telemetry:
    handle, trouble = _handle(asker, device_index, uuid)
    driver_version = asker.ask("nvmlSystemGetDriverVersion")
    if handle is None:
        return Telemetry(driver_version=driver_version, reason=trouble or asker.refusal)
    known = {
        "name": asker.ask("nvmlDeviceGetName", handle),
        "uuid": asker.ask("nvmlDeviceGetUUID", handle),
        "driver_version": driver_version,
    }
    if _is_partitioned(asker, handle):
        return Telemetry(**known, reason="The card is partitioned (MIG); no readings of the whole.")
    asker.refusal = None
    memory = _memory(asker, handle)
    own_bytes, others = _processes(asker, handle)
    return Telemetry(
        **known,
        total_bytes=getattr(memory, "total", None),
        used_bytes=getattr(memory, "used", None),
        free_bytes=getattr(memory, "free", None),
        own_bytes=own_bytes,
        other_processes=others,
        reason=asker.refusal,
    )


def _memory(asker: _Asker, handle: Any) -> Any:
    version = getattr(asker.nvml, "nvmlMemory_v2", None)
    if version is not None:
        memory = asker.ask("nvmlDeviceGetMemoryInfo", handle, version)
        if memory is not None:
            return memory
        asker.refusal = None
    return asker.ask("nvmlDeviceGetMemoryInfo", handle)


def _is_partitioned(asker: _Asker, handle: Any) -> bool:
    mode = asker.ask("nvmlDeviceGetMigMode", handle)
    return mode is not None and mode[0] == 1


def _processes(asker: _Asker, handle: Any) -> tuple[int | None, tuple[GpuProcess, ...] | None]:
    """Return the bytes of this process and the other processes."""
    compute = asker.ask("nvmlDeviceGetComputeRunningProcesses", handle)
    if compute is None:
        return None, None
    graphics = asker.ask("nvmlDeviceGetGraphicsRunningProcesses", handle) or []
    used = _bytes_by_pid([*compute, *graphics])
    own = os.getpid()
    describe = own in used or _sees_host_pids()
    others = [_describe(asker, pid, used[pid], describe) for pid in sorted(used) if pid != own]
    return used.get(own), tuple(others)


def _bytes_by_pid(processes: Iterable[Any]) -> dict[int, int | None]:
    used: dict[int, int | None] = {}
    for process in processes:
        known = used.get(process.pid)
        used[process.pid] = known if process.usedGpuMemory is None else process.usedGpuMemory
    return used


def _describe(asker: _Asker, pid: int, used_bytes: int | None, describe: bool) -> GpuProcess:
    if not describe:
        return GpuProcess(pid, None, None, used_bytes)
    refusal = asker.refusal
    name = asker.ask("nvmlSystemGetProcessName", pid)
    asker.refusal = refusal  # a process that nobody may name is no defect of the reading
    return GpuProcess(pid, os.path.basename(name) if name else None, _owner(pid), used_bytes)


def _owner(pid: int) -> str | None:
    try:
        import pwd

        return pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name
    except (ImportError, OSError, KeyError):
        return None


def _sees_host_pids() -> bool:
    """Whether process ids here mean what they mean to the driver."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _HOST_PID_NAMESPACE_INODE
    except OSError:
        return False


def _handle(asker: _Asker, device_index: int, uuid: str | None) -> tuple[Any, str | None]:
    """Find the card; return its handle, and why there is none."""
    wanted = uuid
    if wanted is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is None:
            return asker.ask("nvmlDeviceGetHandleByIndex", device_index), None
        entries = [entry.strip() for entry in visible.split(",")]
        if not 0 <= device_index < len(entries):
            return None, f"CUDA_VISIBLE_DEVICES has no device {device_index}."
        if entries[device_index].isdigit():
            return asker.ask("nvmlDeviceGetHandleByIndex", int(entries[device_index])), None
        wanted = entries[device_index]
    if wanted.upper().startswith("MIG-"):
        return None, "The device is a MIG partition; its NVML readings are not available."
    return _handle_by_uuid(asker, wanted), f"NVML finds no card {wanted}."


def _handle_by_uuid(asker: _Asker, wanted: str) -> Any:
    """Find a card by the beginning of its UUID, as CUDA_VISIBLE_DEVICES allows."""
    prefix = wanted.lower().removeprefix("gpu-")
    if not prefix:
        return None
    handles = (
        asker.ask("nvmlDeviceGetHandleByIndex", index)
        for index in range(asker.ask("nvmlDeviceGetCount") or 0)
    )
    matches = [handle for handle in handles if _uuid_starts(asker, handle, prefix)]
    return matches[0] if len(matches) == 1 else None


def _uuid_starts(asker: _Asker, handle: Any, prefix: str) -> bool:
    uuid = asker.ask("nvmlDeviceGetUUID", handle) if handle is not None else None
    return uuid is not None and uuid.lower().removeprefix("gpu-").startswith(prefix)


def _torch_uuid(device_index: int) -> str | None:
    """Ask torch for the UUID, but only where it has already set up CUDA."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    properties: Callable[[int], Any] = torch.cuda.get_device_properties
    try:
        if not torch.cuda.is_initialized():
            return None
        return str(properties(device_index).uuid)
    except (AttributeError, AssertionError, RuntimeError):
        return None
