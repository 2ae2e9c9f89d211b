"""The target: a device of this machine to measure on, or a GPU to simulate."""

from __future__ import annotations

import streamlit as st

from memorymark.gpus.catalogue import (
    DEFAULT_GPU,
    Gpu,
    find_gpu_by_device_name,
    load_catalogue,
)
from memorymark.ui.machine_view import local_devices, readings

_DEVICE, _GPU = "device", "gpu"


def draw_target() -> None:
    """Draw the choice of the target."""
    options = _options()
    st.selectbox(
        "Target",
        list(options),
        format_func=options.__getitem__,
        index=list(options).index(_default()),
        key="target",
        persist_state="session",
        help="On a device of this machine, real training steps are measured. A GPU of the "
        "catalogue is simulated.",
    )


def chosen_target() -> dict[str, str | None]:
    """Return the target as fields of a request."""
    kind, name = _chosen()
    return {"device": name if kind == _DEVICE else None, "gpu": name if kind == _GPU else None}


def chosen_gpu() -> Gpu | None:
    """Return the catalogue's row of the target, measured or simulated, where it has one."""
    kind, name = _chosen()
    if kind == _GPU:
        return load_catalogue().get(name)
    if not name.startswith("cuda:"):
        return None
    reading = readings()[int(name.removeprefix("cuda:"))]
    return find_gpu_by_device_name(reading.name or "")


def _chosen() -> tuple[str, str]:
    target = st.session_state.get("target")
    kind, _, name = (target if target in _options() else _default()).partition("=")
    return kind, name


def _options() -> dict[str, str]:
    devices = {f"{_DEVICE}={name}": f"{words}, measured" for name, words in local_devices()}
    gpus = {f"{_GPU}={key}": _short(gpu.name) for key, gpu in load_catalogue().items()}
    return {**devices, **gpus}


def _short(name: str) -> str:
    return f"{name.removeprefix('NVIDIA ')}, simulated"


def _default() -> str:
    first, _ = local_devices()[0]
    return f"{_GPU}={DEFAULT_GPU}" if first == "cpu" else f"{_DEVICE}={first}"
