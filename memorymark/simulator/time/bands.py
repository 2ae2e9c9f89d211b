"""How far an estimate of a step's seconds may be off: an honest band around it.

The widths are the errors of nine published step times in ten, or a little more, where the families
of their models took no part in the fit: each fifth of the families left out in turn
(benchmarks/calibrate_time.py --across). For other cards than those with hundreds of rows they are
wider: what is known of them are six rows each of NVIDIA's own programs. For generations of which
no step was published (Turing's T4, Hopper, the B200) and for what a slow host adds the width is a
judgement, and for fp32 and TF32 nearly so: rows of them are of BERT and ResNet-50 only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from memorymark.gpus.catalogue import Gpu
from memorymark.records.config import Precision
from memorymark.simulator.time.clock import StepTime
from memorymark.simulator.time.kernels import Kind
from memorymark.simulator.time.pricing import DEPTHWISE
from memorymark.simulator.time.unpacking import Unpacking

# Widths are natural logarithms: 0.2 is a factor of 1.22 to either side.


class Family(StrEnum):
    """What takes the time of a step, as far as the error depends on it."""

    PRODUCTS = "matrix products"
    CONVOLUTIONS = "convolutions"
    DEPTHWISE = "depthwise convolutions"
    GROUPED = "grouped convolutions"


_GROUPED = (Kind.GROUPED, Kind.GROUPED_WEIGHTS, Kind.GROUPED_DIRECT_WEIGHTS)
_CONVOLUTIONS = (
    Kind.CONVOLUTION, Kind.CONVOLUTION_WEIGHTS, Kind.LAYOUT, Kind.LAYOUT_BACKWARD
)  # fmt: skip
_PRODUCTS = (Kind.PRODUCT, Kind.ODD_PRODUCT)
# From which share of the device's seconds on they decide the family, the widest first.
_DECIDES = (
    (Family.GROUPED, _GROUPED, 0.1),
    (Family.DEPTHWISE, DEPTHWISE, 0.05),
    (Family.CONVOLUTIONS, _CONVOLUTIONS, 0.15),
)
# Errors of nine rows in ten with their family of models left out: 0.13, 0.15, 0.14 and 0.25.
_WIDTHS = {
    Family.PRODUCTS: 0.15,
    Family.CONVOLUTIONS: 0.18,
    Family.DEPTHWISE: 0.18,
    Family.GROUPED: 0.3,
}
# Cards that hundreds of rows are of.
_FITTED_CARDS = frozenset(("rtx-3090", "rtx-4090", "rtx-5090"))
# Generations of which some rows are known.
_SEEN_GENERATIONS = frozenset(((7, 0), (8, 0), (8, 6), (8, 9), (12, 0)))
_OTHER_CARD = 0.3
_OTHER_GENERATION = 0.4
# A judgement: fp32 steps of BERT on an M1 Max in 2022 took three times what its peaks come to
# (github.com/lucadiliello/pytorch-apple-silicon-benchmarks), and MPS's kernels have improved since.
_OTHER_MAKER = 1.0
# Nearly all rows are in mixed precision.
_OTHER_FORMAT = 0.18
# The pace of the host is not the card's: a judgement, for processors of twice or half the pace.
_HOST_DECIDES_FROM = 0.7
_HOST = 0.5
# Of a pass of an inference: errors of nine figures in ten, on families that are not kept apart
# (benchmarks/inference.py): 0.15 to 0.25 where the card decides, 0.3 where the host does, most of
# them on two cards. How much other cards and hosts add is a judgement.
_PASS = 0.22
_PASS_HOST = 0.3
_PASS_OTHER_CARD = 0.25
_PASS_CARDS = frozenset(("a100-80gb", "a10g"))
# Published passes over caches of tens of thousands of tokens took up to 1.8 times the estimate.
_PASS_PRODUCTS, _PASS_CACHE = 0.65, 0.5


@dataclass(frozen=True)
class Band:
    """The least and the most seconds that a step is likely to take.

    Attributes:
        low_seconds: The least.
        high_seconds: The most.
        family: What takes the step's time.
        reasons: What widens the band beyond the error seen for the family, in words.
    """

    low_seconds: float
    high_seconds: float
    family: Family
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What the band is, in one sentence."""
        factor = math.sqrt(self.high_seconds / self.low_seconds)
        wider = f" It is wider since {' and '.join(self.reasons)}." if self.reasons else ""
        return (
            f"Step time is an estimate from what the kernels do and the GPU's peak rates: the "
            f"measured one is likely to lie within a factor of {factor:.2f}, as for other models "
            f"whose time goes to {self.family}.{wider}"
        )


def band_of(step: StepTime, gpu: Gpu, precision: Precision) -> Band:
    """Return the band of an estimate.

    Args:
        step: The estimate.
        gpu: The card that it is for.
        precision: The number formats of the training.
    """
    family = family_of(step)
    widths, reasons = [_WIDTHS[family]], []
    if gpu.key not in _FITTED_CARDS:
        width, reason = _for_other_card(gpu)
        widths.append(width)
        reasons.append(reason)
    if not precision.is_amp:
        widths.append(_OTHER_FORMAT)
        reasons.append(f"few published step times are in {precision}")
    if step.host_seconds > _HOST_DECIDES_FROM * step.device_seconds:
        widths.append(_HOST)
        reasons.append("the host, whose pace is not known, starts the kernels slower than they run")
    factor = math.exp(math.hypot(*widths))
    return Band(step.seconds / factor, step.seconds * factor, family, tuple(reasons))


def pass_width(
    step: StepTime, gpu: Gpu, unpacking: Unpacking | None = None
) -> tuple[float, tuple[str, ...]]:
    """Return how far the estimate of one pass of an inference may be off, and what widens it.

    Args:
        step: The estimate.
        gpu: The card.
        unpacking: What of it are quantized weights; None where there are none.
    """
    widths, reasons = [_PASS], []
    if unpacking is not None:
        widths.append(unpacking.width)
        reasons.append(unpacking.reason)
    if gpu.is_apple:
        width, why = _for_other_card(gpu)
        widths.append(width)
        reasons.append(why)
    elif gpu.key not in _PASS_CARDS:
        widths.append(_PASS_OTHER_CARD)
        reasons.append("few published figures of inference on such a card are known")
    if step.host_seconds > _HOST_DECIDES_FROM * step.device_seconds:
        widths.append(_PASS_HOST)
        reasons.append("the host, whose pace is not known, starts the kernels slower than they run")
    elif sum(step.shares.get(kind, 0.0) for kind in _PRODUCTS) < _PASS_PRODUCTS:
        widths.append(_PASS_CACHE)
        reasons.append("much of it goes to attention and copies of a long cache")
    return math.hypot(*widths), tuple(reasons)


def _for_other_card(gpu: Gpu) -> tuple[float, str]:
    """Return what a card that was not fitted adds to the width, and why."""
    if gpu.is_apple:
        return _OTHER_MAKER, "MPS's kernels are taken to reach the shares of peaks that CUDA's do"
    if gpu.compute_capability in _SEEN_GENERATIONS:
        return _OTHER_CARD, "few published step times of such a card are known"
    return _OTHER_GENERATION, "no published step times of such a card are known"


def family_of(step: StepTime) -> Family:
    """Return what takes a step's time."""
    for family, kinds, least in _DECIDES:
        if sum(step.shares.get(kind, 0.0) for kind in kinds) >= least:
            return family
    return Family.PRODUCTS
