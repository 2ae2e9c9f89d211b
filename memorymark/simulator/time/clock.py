"""An estimate of time from a GPU's peak rates: each operation is as slow as its slower side.

The roofline of Williams, Waterman and Patterson (2009, doi 10.1145/1498765.1498785): seconds
are the larger of arithmetic over peak arithmetic and bytes over bandwidth, each at a share of
the peak that real kernels reach.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

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


class Work(NamedTuple):
    """What one operation does, on any device.

    Attributes:
        flops: Operations of arithmetic; 0 where they are not counted.
        dtype: The format whose rate they take; None where there are none.
        is_convolution: Whether they are a convolution's.
        moved_bytes: Bytes of what is read and written.
        times: How often the operation runs.
    """

    flops: int
    dtype: torch.dtype | None
    is_convolution: bool
    moved_bytes: int
    times: int = 1


def work_of(func: Any, args: tuple[Any, ...], output: Any) -> Work | None:
    """Return what an operation does. None for views, which take no time."""
    if func.is_view:
        return None
    leaves: list[Tensor] = []
    _collect(args, leaves)
    _collect(output, leaves)
    moved = sum(x.numel() * x.element_size() for x in leaves)
    formula = flop_registry.get(packet_of(func))
    if formula is None or not leaves:
        return Work(0, None, False, moved)
    try:
        flops = formula(*args, out_val=output)
    except AssertionError:  # PyTorch 2.11 counts attention only where all have as many heads
        flops = formula(*_with_all_heads(args), out_val=output)
    return Work(flops, leaves[0].dtype, func in _CONVOLUTIONS, moved)


def _with_all_heads(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return attention's arguments as shapes, with a head of keys and values for each query's."""
    heads = args[0].size(1)

    def shape(x: Any) -> Any:
        if not isinstance(x, Tensor) or x.dim() != 4:
            return x
        samples, _, *rest = x.shape
        return torch.Size((samples, heads, *rest))

    return tuple(map(shape, args))


def seconds(works: Iterable[Work], rates: Rates) -> float:
    """Return the estimated seconds of operations that run one after the other.

    Args:
        works: What each operation does.
        rates: What the device does in a second.
    """
    total = 0.0
    known: dict[Work, float] = {}
    for work in works:
        taken = known.get(work)
        if taken is None:
            taken = known[work] = _seconds_of(work, rates)
        total += taken * work.times
        total += _LAUNCH_SECONDS * work.times
    return total


def _seconds_of(work: Work, rates: Rates) -> float:
    by_memory = work.moved_bytes / (rates.bandwidth_bytes * _BANDWIDTH_SHARE)
    rate = None if work.dtype is None else rates.flops.get(work.dtype)
    if work.is_convolution and work.dtype is torch.float32:
        rate = rates.convolution_fp32_flops or rate
    return max(work.flops / (rate * _ARITHMETIC_SHARE) if rate else 0.0, by_memory)


def _collect(value: Any, tensors: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        tensors.append(value)
    elif isinstance(value, tuple | list):
        for item in value:
            _collect(item, tensors)
