"""Settings of CUDA's allocator, which PyTorch reads once: when the program's CUDA starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # the newer name first
_DRIVER = Path("/dev/nvidiactl")


def may_be_measured_on_cuda(gpu: str | None, device: str | None) -> bool:
    """Say whether a command's work may run on a CUDA device, without loading torch."""
    if device is not None:
        return device.strip().lower().startswith("cuda")
    return gpu is None and _DRIVER.exists()


def ask_for_expandable_segments() -> None:
    """Let the allocator's segments grow, where the user has not set it up, and torch not begun."""
    if "torch" not in sys.modules and not any(name in os.environ for name in _VARIABLES):
        os.environ[_VARIABLES[1]] = "expandable_segments:True"
