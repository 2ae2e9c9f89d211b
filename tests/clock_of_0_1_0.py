"""The estimate of time of version 0.1.0, so that all else of its documents can be held.

Searches and marks follow from seconds. With the seconds that version had, they are what they were.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from memorymark.gpus.catalogue import Gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import Precision
from memorymark.simulator import device, simulate
from memorymark.simulator.tensors.shapes import ShapeCache
from memorymark.simulator.time.kernels import Kernel, Kind, Work
from memorymark.simulator.torch_compat import operations, packet_of

_ARITHMETIC_SHARE = 0.6
_BANDWIDTH_SHARE = 0.75
_LAUNCH_SECONDS = 5e-6
_CONVOLUTIONS = operations("convolution", "convolution_backward")


def set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let simulations take their seconds as version 0.1.0 did."""
    monkeypatch.setattr(device, "work_of", _work_of)
    monkeypatch.setattr(simulate, "_shapes", ShapeCache())  # what was counted otherwise
    monkeypatch.setattr(SimulatedProbe, "_timed", _timed)


def _work_of(func: Any, args: tuple[Any, ...], output: Any) -> Work | None:
    if func.is_view:
        return None
    leaves = [*_tensors(args), *_tensors(output)]
    moved = sum(x.numel() * x.element_size() for x in leaves)
    formula = flop_registry.get(packet_of(func))
    if formula is None or not leaves:
        return Work((Kernel(Kind.ELEMENTWISE, None, 1, moved),))
    kind = Kind.CONVOLUTION if func in _CONVOLUTIONS else Kind.PRODUCT
    flops = formula(*args, out_val=output)
    return Work((Kernel(kind, leaves[0].dtype, 1, moved, flops),))


def _timed(self: SimulatedProbe, steps: simulate.SimulatedSteps, precision: Precision) -> Any:
    seconds, known = 0.0, {}
    for work in steps.works:
        (kernel,) = work.kernels
        if kernel not in known:
            known[kernel] = _seconds_of(kernel, self._gpu, precision)
        seconds += known[kernel] * work.times
        seconds += _LAUNCH_SECONDS * work.times
    band = SimpleNamespace(
        low_seconds=None, high_seconds=None, sentence="Step time is an estimate from peak rates."
    )
    return seconds, band


def _seconds_of(kernel: Kernel, gpu: Gpu, precision: Precision) -> float:
    tf32 = gpu.tf32_flops or gpu.fp32_flops
    rates = {
        torch.float32: tf32 if precision is Precision.TF32 else gpu.fp32_flops,
        torch.float16: gpu.fp16_flops,
        torch.bfloat16: gpu.bf16_flops or gpu.fp32_flops,
    }
    by_memory = kernel.moved_bytes / (gpu.bandwidth_bytes_per_s * _BANDWIDTH_SHARE)
    rate = rates.get(kernel.dtype)
    if kernel.kind is Kind.CONVOLUTION and kernel.dtype is torch.float32:
        rate = tf32 or rate
    return max(kernel.rows / (rate * _ARITHMETIC_SHARE) if rate else 0.0, by_memory)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in _tensors(item)]
    return []
