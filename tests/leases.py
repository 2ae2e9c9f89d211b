"""Looks whether a device is held, as another thread would find it."""

from __future__ import annotations

import threading
from pathlib import Path

from memorymark.errors import Cancelled
from memorymark.probes.lease import device_lease


def is_held(name: str, folder: Path) -> bool:
    """Whether another thread would have to wait for the device."""
    outcomes: list[str] = []

    def stop() -> None:
        raise Cancelled("looked")

    def look() -> None:
        try:
            with device_lease(name, folder=folder, check=stop):
                outcomes.append("free")
        except Cancelled:
            outcomes.append("held")

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(10)
    (outcome,) = outcomes  # a thread that failed found out nothing
    return outcome == "held"
