"""The host's memory: what is free of it, and what swapped caches may take."""

from __future__ import annotations


def free_memory_bytes() -> int | None:
    """Return the host memory that is free to take, None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            values = dict(line.split(":", 1) for line in file)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None


def default_host_bytes() -> int | None:
    """Return what swapped caches may take where nobody says: half of what is free, in bytes."""
    free = free_memory_bytes()
    return None if free is None else free // 2
