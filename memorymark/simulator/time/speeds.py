"""What a card does in a second, as far as kernels can reach it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from memorymark.gpus.catalogue import Gpu
from memorymark.simulator.time.calibration import Calibration


@dataclass(frozen=True)
class Speeds:
    """What a card does in a second.

    Attributes:
        multiprocessors: How many tiles of a product it works on at once.
        clock_hz: Its clock.
        fp32_flops: Operations a second outside of tensor cores.
        product_flops: Operations a second of products, by format: fp32, fp16, bf16.
        convolution_flops: The same of convolutions, for which fp32 is TF32 where there is such.
        bandwidth_bytes: Bytes a second from and to its memory.
        l2_bytes: Its second-level cache.
        copies_fp32: Whether convolutions in fp32 run on tensor cores, and so in NHWC order.
    """

    multiprocessors: int
    clock_hz: float
    fp32_flops: float
    product_flops: tuple[float, float, float]
    convolution_flops: tuple[float, float, float]
    bandwidth_bytes: float
    l2_bytes: float
    copies_fp32: bool


def speeds_of(gpu: Gpu, calibration: Calibration, *, tf32: bool = False) -> Speeds:
    """Return the speeds of a card.

    A GeForce card clocks above the boost clock that its peaks are stated at; other cards are held
    back by their power, which pays for no more than so many operations.

    Args:
        gpu: The card.
        calibration: The clocks and the operations to a joule.
        tf32: Whether products in fp32 are allowed to use TF32.
    """
    reach = calibration.reach(gpu.capability)
    clock = (calibration.geforce_clock if gpu.is_geforce else 1.0) * reach
    paid = _paid(gpu, calibration)
    fp32 = gpu.fp32_flops * clock
    fp16 = min(gpu.fp16_flops * clock, paid)
    bf16 = min(gpu.bf16_flops * clock, paid) if gpu.bf16_flops else fp32
    on_tf32 = min(gpu.tf32_flops * clock, paid / 2) if gpu.tf32_flops else fp32
    return Speeds(
        multiprocessors=gpu.multiprocessors,
        clock_hz=gpu.clock_hz * clock,
        fp32_flops=fp32,
        product_flops=(on_tf32 if tf32 else fp32, fp16, bf16),
        convolution_flops=(on_tf32, fp16, bf16),
        bandwidth_bytes=gpu.bandwidth_bytes_per_s * reach,
        l2_bytes=gpu.l2_bytes,
        copies_fp32=gpu.tf32_flops is not None,
    )


def _paid(gpu: Gpu, calibration: Calibration) -> float:
    """Return the operations a second that a card's power pays for; no limit where it is unknown."""
    if gpu.board_watts is None:
        return math.inf
    return gpu.board_watts * calibration.flops_per_joule(gpu.capability)
