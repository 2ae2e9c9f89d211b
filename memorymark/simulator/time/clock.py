"""An estimate of a step's seconds on a card, from what its operations do.

The device runs one kernel after the other, and the host starts them ahead of it: a step takes as
long as the slower of the two. The optimizer is counted apart, since the gradient scaler lets the
host wait for the gradients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from memorymark.memory.trace import BACKWARD, OPTIMIZER
from memorymark.simulator.time.calibration import CALIBRATION, Calibration
from memorymark.simulator.time.kernels import Kernel, Kind, Work
from memorymark.simulator.time.pricing import KINDS, Table, kernel_seconds
from memorymark.simulator.time.speeds import Speeds

Marks = Sequence[tuple[str, int]]
_FORWARD_PART, _BACKWARD_PART, _OPTIMIZER_PART = range(3)


@dataclass(frozen=True)
class StepTime:
    """What a step takes.

    Attributes:
        seconds: Of the whole step.
        device_seconds: Of its kernels, one after the other.
        host_seconds: Of starting them.
        shares: Of the device's seconds, by the kind of kernel; kinds that take none are left out.
    """

    seconds: float
    device_seconds: float
    host_seconds: float
    shares: dict[Kind, float]


def step_time(
    works: Sequence[Work], marks: Marks, speeds: Speeds, calibration: Calibration = CALIBRATION
) -> StepTime:
    """Return the estimated time of a step.

    Args:
        works: What each operation does.
        marks: (phase, number of works before it) for each phase of the step.
        speeds: What the card does in a second.
        calibration: The shares of it that kernels reach.
    """
    paces = (
        calibration.forward_host_seconds,
        calibration.backward_host_seconds,
        calibration.optimizer_host_seconds,
    )
    parts = [Counter[Kernel]() for _ in paces]
    host = [0.0 for _ in paces]
    for part, stretch in _stretches(works, marks):
        parts[part].update(counted_kernels(stretch))
        host[part] += paces[part] * sum(work.times for work in stretch)
    return _priced(parts, host, speeds, calibration)


def counted_kernels(works: Sequence[Work]) -> Counter[Kernel]:
    """Return how often each kernel runs."""
    counted, kernels = Counter[Work](), Counter[Kernel]()
    for work in works:
        counted[work] += work.times
    for work, times in counted.items():
        for kernel in work.kernels:
            kernels[kernel] += times
    return kernels


def _priced(
    parts: list[Counter[Kernel]], host: list[float], speeds: Speeds, calibration: Calibration
) -> StepTime:
    kernels = list(dict.fromkeys(kernel for part in parts for kernel in part))
    table = Table.of(kernels)
    each = kernel_seconds(table, speeds, calibration)
    counts = np.array([[part[kernel] for kernel in kernels] for part in parts], dtype=float)
    forward, backward, optimizer = (float(seconds) for seconds in counts @ each)
    by_kind = np.bincount(table.kinds, counts.sum(axis=0) * each, len(KINDS))
    device = forward + backward + optimizer
    passes = max(forward + backward, host[_FORWARD_PART] + host[_BACKWARD_PART])
    return StepTime(
        seconds=passes + max(optimizer, host[_OPTIMIZER_PART]),
        device_seconds=device,
        host_seconds=sum(host),
        shares={
            kind: float(seconds) / device
            for kind, seconds in zip(KINDS, by_kind, strict=True)
            if seconds
        },
    )


def _stretches(works: Sequence[Work], marks: Marks) -> list[tuple[int, Sequence[Work]]]:
    """Cut a step's works where another phase begins, and say whose pace each part has."""
    part, starts = _FORWARD_PART, [(_FORWARD_PART, 0)]
    for phase, position in marks:
        part = {BACKWARD: _BACKWARD_PART, OPTIMIZER: _OPTIMIZER_PART}.get(phase, _FORWARD_PART)
        starts.append((part, position))
    starts.append((part, len(works)))
    return [(part, works[start:end]) for (part, start), (_, end) in pairwise(starts) if end > start]
