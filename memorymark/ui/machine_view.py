"""What this machine is, read from NVML: torch is not imported to draw a page."""

from __future__ import annotations

import platform

import streamlit as st

from memorymark.gpus.telemetry import GpuProcess, Telemetry, read_telemetry
from memorymark.ui import say
from memorymark.ui.engine import app_service, may_start
from memorymark.units import UNKNOWN, gib

REFRESH_SECONDS = 5
_MOST_GPUS = 16


@st.cache_resource(ttl=REFRESH_SECONDS - 1, show_spinner=False)
def readings() -> tuple[Telemetry, ...]:
    """Return a reading of each GPU; all visitors share it for a few seconds."""
    found = []
    for index in range(_MOST_GPUS):
        reading = read_telemetry(index)
        if not reading.is_here:
            break
        found.append(reading)
    return tuple(found)


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
        name = platform.node() if may_start() else "This machine"
        say.caption("**{}** has no NVIDIA GPU. Simulate one, or measure on the CPU.", name)


@st.fragment(run_every=REFRESH_SECONDS)
def _draw_gpus() -> None:
    for index, reading in enumerate(readings()):
        say.line("**GPU {}: {}**", index, reading.name)
        if reading.total_bytes and reading.used_bytes is not None:
            share = reading.used_bytes / reading.total_bytes
            used, total = gib(reading.used_bytes), gib(reading.total_bytes)
            say.progress(share, "{} of {} in use", used, total)
        else:
            say.caption("{}", reading.reason or "Its memory usage is not available.")
        if may_start():
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
        name = process.name or f"process {process.pid}"
        say.caption("{} · {} · {}", process.user or UNKNOWN, name, gib(process.used_bytes))
