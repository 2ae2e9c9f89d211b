"""An estimate of time from a GPU's peak rates: each operation is as slow as its slower side.

The roofline of Williams, Waterman and Patterson (2009, doi 10.1145/1498765.1498785): seconds
are the larger of arithmetic over peak arithmetic and bytes over bandwidth, each at a share of
the peak that real kernels reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from memorymark.simulator.torch_compat import operations, packet_of

# Shares of the peaks that large training kernels are taken to reach. They are not calibrated:
# benchmarks/accuracy.py scores the estimate against the steps that were measured.
_ARITHMETIC_SHARE = 0.6
_BANDWIDTH_SHARE = 0.75
# Time between two kernels that the host launches one after the other.
_LAUNCH_SECONDS = 5e-6

_CONVOLUTIONS = operations("convolution", "convolution_backward")


@dataclass(frozen=True)
class Rates:
    """What a device does in a second.

    Attributes:
        flops: Operations a second, by torch dtype of the arguments.
        bandwidth_bytes: Bytes a second from and to its memory.
        convolution_fp32_flops: Operations a second of convolutions in fp32, for which cuDNN
            takes TF32 unless it is told not to.
    """

    flops: dict[torch.dtype, float]
    bandwidth_bytes: float
    convolution_fp32_flops: float | None = None


class Clock:
    """Adds up the estimated seconds of operations.

    Args:
        rates: What the device does in a second.

    Attributes:
        seconds: The sum.
    """

    def __init__(self, rates: Rates) -> None:
        self.seconds = 0.0
        self._rates = rates

    def count(self, func: Any, args: tuple[Any, ...], output: Any) -> None:
        """Add an operation's estimated time. Views take none."""
        if func.is_view:
            return
        leaves: list[Tensor] = []
        _collect(args, leaves)
        _collect(output, leaves)
        moved = sum(x.numel() * x.element_size() for x in leaves)
        by_memory = moved / (self._rates.bandwidth_bytes * _BANDWIDTH_SHARE)
        self.seconds += max(self._by_arithmetic(func, args, output, leaves), by_memory)
        self.seconds += _LAUNCH_SECONDS

    def _by_arithmetic(
        self, func: Any, args: tuple[Any, ...], output: Any, leaves: list[Tensor]
    ) -> float:
        formula = flop_registry.get(packet_of(func))
        if formula is None or not leaves:
            return 0.0
        rate = self._rates.flops.get(leaves[0].dtype)
        if func in _CONVOLUTIONS and leaves[0].dtype is torch.float32:
            rate = self._rates.convolution_fp32_flops or rate
        return formula(*args, out_val=output) / (rate * _ARITHMETIC_SHARE) if rate else 0.0


def _collect(value: Any, tensors: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        tensors.append(value)
    elif isinstance(value, tuple | list):
        for item in value:
            _collect(item, tensors)
