"""The targets: devices of this machine to measure on, and GPUs to simulate.

A target is named "device=cuda:0" or "gpu=a100-40gb".
"""

from __future__ import annotations

from memorymark.gpus.catalogue import DEFAULT_GPU, Gpu, find_gpu_by_device_name, load_catalogue
from memorymark.records.trial import Source, Target
from memorymark.ui.machine_view import local_devices, readings

_DEVICE, _GPU = "device", "gpu"
SIMULATED = ", simulated"


def target_options() -> dict[str, str]:
    """Return all targets by name, with the words that people read."""
    devices = {f"{_DEVICE}={name}": f"{words}, measured" for name, words in local_devices()}
    gpus = {f"{_GPU}={key}": f"{_short(gpu)}{SIMULATED}" for key, gpu in load_catalogue().items()}
    return {**devices, **gpus}


def default_target() -> str:
    """Return the target where none was chosen: this machine's GPU, else one of the catalogue."""
    first, _ = local_devices()[0]
    return f"{_GPU}={DEFAULT_GPU}" if first == "cpu" else f"{_DEVICE}={first}"


def device_target(device: str) -> str:
    """Return the target that a device of this machine is, by name."""
    return f"{_DEVICE}={device}"


def target_parts(target: str) -> dict[str, str | None]:
    """Return a target as fields of a request."""
    kind, _, name = target.partition("=")
    return {"device": name if kind == _DEVICE else None, "gpu": name if kind == _GPU else None}


def target_of(device: str | None, gpu: str | None) -> str | None:
    """Return the target of a request; None where it names none."""
    if gpu is not None:
        return f"{_GPU}={gpu.strip().lower()}"
    if device is None:
        return None
    return f"{_DEVICE}={f'{device}:0' if device == 'cuda' else device}"


def target_of_result(target: Target) -> str:
    """Return the target that a result is of, by name."""
    if target.source is Source.SIMULATED and target.gpu_key:
        return f"{_GPU}={target.gpu_key}"
    return f"{_DEVICE}={target.kind}" + (f":{target.index}" if target.kind == "cuda" else "")


def gpu_of(target: str) -> Gpu | None:
    """Return the catalogue's row of a target, measured or simulated, where it has one."""
    parts = target_parts(target)
    if parts["gpu"] is not None:
        return load_catalogue().get(parts["gpu"])
    number = (parts["device"] or "").removeprefix("cuda:")
    found = readings()
    if not number.isdigit() or int(number) >= len(found):
        return None
    return find_gpu_by_device_name(found[int(number)].name or "")


def kind_of(target: str) -> str:
    """Return the kind of a target: simulated, cuda, mps or cpu."""
    device = target_parts(target)["device"]
    return "simulated" if device is None else device.partition(":")[0]


def _short(gpu: Gpu) -> str:
    return gpu.name.removeprefix("NVIDIA ")
