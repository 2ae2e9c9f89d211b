"""An estimate of what one pass of an inference takes on a card: a prompt's, or one token's.

The device runs one kernel after the other, and the host starts them ahead of it: a pass takes as
long as the slower of the two. A compiled pass is started at once, as a graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from memorymark.gpus.catalogue import Gpu
from memorymark.simulator.time.bands import pass_width
from memorymark.simulator.time.calibration import INFERENCE, Calibration
from memorymark.simulator.time.clock import step_time
from memorymark.simulator.time.kernels import Work
from memorymark.simulator.time.speeds import speeds_of
from memorymark.simulator.time.unpacking import Unpacking


@dataclass(frozen=True)
class ActTime:
    """The estimated time of one pass, and between what it is likely to lie.

    Attributes:
        seconds: The estimate.
        low_seconds: The least that is likely.
        high_seconds: The most.
        device_seconds: Of its kernels, one after the other.
        host_seconds: Of starting them.
        reasons: What widens the band beyond the usual error, in words.
    """

    seconds: float
    low_seconds: float
    high_seconds: float
    device_seconds: float
    host_seconds: float
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What the band is, in one sentence."""
        factor = math.sqrt(self.high_seconds / self.low_seconds)
        wider = f" It is wider since {' and '.join(self.reasons)}." if self.reasons else ""
        return (
            "Seconds are an estimate from what the kernels do and the GPU's peak rates: measured "
            f"ones are likely to lie within a factor of {factor:.2f}.{wider}"
        )


def act_time(
    works: Sequence[Work], gpu: Gpu, *, compiled: bool = False,
    unpacking: Unpacking | None = None, calibration: Calibration = INFERENCE,
) -> ActTime:  # fmt: skip
    """Return the estimated time of one pass.

    Args:
        works: What each of its operations does, one without kernels for a view.
        gpu: The card that it is for.
        compiled: Whether the host starts it at once, as a graph.
        unpacking: What of it are quantized weights; None where there are none.
        calibration: The shares of a card's peaks that kernels reach.
    """
    found = step_time(works, [], speeds_of(gpu, calibration), calibration)
    operations = sum(work.times for work in works)
    host = 0.0 if compiled else operations * calibration.inference_host_seconds
    device = found.device_seconds
    if unpacking is not None:
        device += unpacking.device_seconds
        host += 0.0 if compiled else unpacking.host_seconds
    seconds = max(device, host)
    known = replace(found, device_seconds=device, host_seconds=host)
    width, reasons = pass_width(known, gpu, unpacking)
    factor = math.exp(width)
    return ActTime(seconds, seconds / factor, seconds * factor, device, host, reasons)
