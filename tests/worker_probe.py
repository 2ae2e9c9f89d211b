"""The probe of the tests of worker processes: its third trial does what the model's name says."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import app_probe
from fakes import measured_target

from memorymark.probes.poisoned import mark_poisoned
from memorymark.records.trial import Trial
from memorymark.units import MIB
from memorymark.workloads.trial_spec import TrialSpec

GOOD_TRIALS = 2


class MisbehavingProbe(app_probe.AppProbe):
    def run_trial(self, spec: TrialSpec) -> Trial:
        if len(self.calls) == GOOD_TRIALS:
            _DEEDS.get(spec.workload.name.removeprefix("own:"), _nothing)()
        return super().run_trial(spec)


def make_probe(device: str | None, gpu: str | None, memory_budget: int | None) -> MisbehavingProbe:
    return MisbehavingProbe(target=app_probe.make_probe(device, gpu, memory_budget).target)


def _nothing() -> None:
    pass


def _exit() -> None:
    sys.exit("enough")


def _odd() -> None:
    raise BaseException("enough")


def _poison() -> None:
    raise mark_poisoned(measured_target(), "an illegal memory access")


def _vanish() -> None:
    os._exit(7)


def _crash() -> None:
    ctypes.string_at(0)


def _stuck() -> None:
    """Hold the interpreter's lock for ever."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def _deaf() -> None:
    while True:
        time.sleep(0.05)


def _slow() -> None:
    time.sleep(0.5)


def _greedy() -> None:
    taken = []
    for _ in range(30):
        taken.append(bytearray(b"x") * (32 * MIB))
        time.sleep(0.02)
    _deaf()


def _garbage() -> None:
    os.write(int(sys.argv[1]), b"[1, 2\n")
    _deaf()


def _flood() -> None:
    while True:
        os.write(int(sys.argv[1]), b"x" * MIB)


def _silent() -> None:
    socket.socket(fileno=os.dup(int(sys.argv[1]))).shutdown(socket.SHUT_RDWR)
    _deaf()


def _forking() -> None:
    os.fork()


def _chatty() -> None:
    sys.stdout.write('{"job": 1, "record": {}}\n')
    sys.stdout.flush()
    os.write(1, b'{"job": 1, "record": {}}\n')


def _parent() -> None:
    child = subprocess.Popen(["sleep", "300"])
    note(child.pid)
    _stuck()


def _forking_parent() -> None:
    """Leave a fork behind that holds the connection open, and go."""
    pid = os.fork()
    if pid == 0:
        _deaf()
    note(pid)
    os.kill(os.getpid(), signal.SIGKILL)


def note(pid: int) -> None:
    part = Path(os.environ["MEMORYMARK_HOME"]) / "child.part"
    part.write_text(str(pid))
    part.rename(part.with_suffix(".pid"))


_DEEDS: dict[str, Callable[[], None]] = {
    name.removeprefix("_"): deed
    for name, deed in list(globals().items())
    if callable(deed) and name.startswith("_") and not name.startswith("__")
}
