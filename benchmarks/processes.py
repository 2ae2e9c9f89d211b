"""What the operating system says of a server and its workers: memory and processor time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_WORKER = b"worker_main"


def workers_of(server_pid: int) -> list[int]:
    """Return the ids of a server's worker processes."""
    return [pid for pid in _children(server_pid) if _WORKER in _read(pid, "cmdline")]


def private_bytes(pid: int) -> int:
    """Return the resident memory that is the process's own; pages of files are not in it.

    The operating system drops and reads these as it likes: the resident memory of a process that
    does nothing goes up and down with them.
    """
    return anonymous_bytes(_read(pid, "status"))


def anonymous_bytes(status: bytes) -> int:
    """Return the private resident memory that /proc/PID/status says; 0 where it says none."""
    for line in status.splitlines():
        if line.startswith(b"RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time that processes have taken so far."""
    return sum(ticks(_read(pid, "stat")) for pid in pids) / os.sysconf("SC_CLK_TCK")


def ticks(stat: bytes) -> int:
    """Return the processor time in /proc/PID/stat, in clock ticks; 0 for a process that is gone."""
    fields = _fields(stat)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _children(parent: int) -> list[int]:
    pids = map(int, filter(str.isdecimal, os.listdir("/proc")))
    return [pid for pid in pids if _fields(_read(pid, "stat"))[1:2] == [str(parent).encode()]]


def _fields(stat: bytes) -> list[bytes]:
    """Return the fields after the program's name, which may hold blanks and brackets."""
    return stat.rpartition(b")")[2].split()


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
