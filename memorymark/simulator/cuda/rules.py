"""What the simulator has to know of the simulated device."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memorymark.units import MIB

# PyTorch, aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize: ":4096:2:16:8"
# in KiB, and 32 MiB on Hopper and Blackwell.
_CUBLAS_WORKSPACE_BYTES = (4096 * 2 + 16 * 8) * 1024
_CUBLAS_WORKSPACE_BYTES_SM90 = 32 * MIB


class Platform(StrEnum):
    """Whose kernels are simulated."""

    CUDA = "cuda"
    CPU = "cpu"


@dataclass(frozen=True)
class Rules:
    """A platform and what of its device changes memory.

    Attributes:
        platform: CUDA, or the CPU of a measured trial.
        compute_capability: (major, minor) of a CUDA device.
    """

    platform: Platform
    compute_capability: tuple[int, int] = (8, 0)

    @property
    def is_cuda(self) -> bool:
        """Whether CUDA's kernels are simulated."""
        return self.platform is Platform.CUDA

    @property
    def cublas_workspace_bytes(self) -> int:
        """Bytes that one cuBLAS handle takes from the caching allocator."""
        major, minor = self.compute_capability
        if major == 9 or (major == 10 and minor in (0, 3)):
            return _CUBLAS_WORKSPACE_BYTES_SM90
        return _CUBLAS_WORKSPACE_BYTES
