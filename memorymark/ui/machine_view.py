"""What this machine is, read from NVML: torch is not imported to draw a page."""

from __future__ import annotations

import platform

import streamlit as st

from memorymark.gpus.telemetry import GpuProcess, Telemetry, read_telemetry
from memorymark.ui.engine import app_service
from memorymark.units import UNKNOWN, gib

REFRESH_SECONDS = 5
_MOST_GPUS = 16


@st.cache_data(ttl=REFRESH_SECONDS - 1, show_spinner=False)
def readings() -> list[Telemetry]:
    """Return a reading of each GPU; all visitors share it for a few seconds."""
    found = []
    for index in range(_MOST_GPUS):
        reading = read_telemetry(index)
        if not reading.is_here:
            break
        found.append(reading)
    return found


def local_devices() -> list[tuple[str, str]]:
    """Return the devices of this machine, the best first: name and words."""
    devices = [
        (f"cuda:{index}", f"GPU {index}: {reading.name}")
        for index, reading in enumerate(readings())
    ]
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        devices.append(("mps", "Apple GPU (MPS)"))
    return [*devices, ("cpu", "This machine's CPU")]


def draw_machine() -> None:
    """Say what this machine is, live where it has a GPU."""
    if readings():
        _draw_gpus()
    else:
        st.caption(f"**{platform.node()}** has no NVIDIA GPU. Simulate one, or measure on the CPU.")


@st.fragment(run_every=REFRESH_SECONDS)
def _draw_gpus() -> None:
    for index, reading in enumerate(readings()):
        st.markdown(f"**GPU {index}: {reading.name}**")
        if reading.total_bytes and reading.used_bytes is not None:
            share = reading.used_bytes / reading.total_bytes
            text = f"{gib(reading.used_bytes)} of {gib(reading.total_bytes)} in use"
            st.progress(min(share, 1.0), text=text)
        else:
            st.caption(reading.reason or "Its memory usage is not available.")
        _draw_others(reading.other_processes)


def _draw_others(processes: tuple[GpuProcess, ...] | None) -> None:
    if processes is None:
        st.caption("Its processes cannot be listed.")
        return
    own = {worker.pid for worker in app_service().workers.workers}
    others = [process for process in processes if process.pid not in own]
    if not others:
        st.caption("No other processes on it.")
    for process in others:
        who = f"{process.user or UNKNOWN} · {process.name or f'process {process.pid}'}"
        st.caption(f"{who} · {gib(process.used_bytes)}")
