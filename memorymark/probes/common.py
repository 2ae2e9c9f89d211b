"""What the probes share: facts for a trial's record, and errors of models put into words."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

import torch

from memorymark.errors import MemoryMarkError, OutOfMemory

_PACKAGES = ("torch", "transformers", "torchvision", "timm", "bitsandbytes", "memorymark")


@cache
def software() -> dict[str, str]:
    """Return the versions of what takes part in a trial."""
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    for package in _PACKAGES[1:]:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if torch.version.cuda:
        versions["cuda"] = torch.version.cuda
    return versions


def one_sentence(error: BaseException) -> str:
    """Return what an error says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, MemoryMarkError | OutOfMemory):
        return " ".join(lines)
    first = lines[0] if lines else "no message"
    return f"{type(error).__name__}: {first}"
