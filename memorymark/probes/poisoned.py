"""Devices whose context is corrupted for the rest of this process."""

from __future__ import annotations

from memorymark.errors import PoisonedDevice
from memorymark.records.trial import Target

_poisoned: dict[str, str] = {}


def mark_poisoned(target: Target, sentence: str) -> PoisonedDevice:
    """Note that a device can run nothing more in this process; return the error to raise."""
    _poisoned[target.lock_name] = sentence
    return _error(target)


def check_usable(target: Target) -> None:
    """Let a device pass that can still run something.

    Raises:
        PoisonedDevice: An earlier error has broken it for this process.
    """
    if target.lock_name in _poisoned:
        raise _error(target)


def is_anything_poisoned() -> bool:
    """Say whether this process has lost a device."""
    return bool(_poisoned)


def _error(target: Target) -> PoisonedDevice:
    return PoisonedDevice(
        f"The context of this process on {target.lock_name} is corrupted, and nothing more can "
        f"run there: {_poisoned[target.lock_name]} A new process can: start it again. With "
        "CUDA_LAUNCH_BLOCKING=1 in the environment, the error names the call that caused it."
    )
