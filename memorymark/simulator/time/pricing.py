"""The seconds of kernels on a card, many kernels at once.

A kernel is as slow as its slower side, arithmetic or memory (the roofline of Williams, Waterman
and Patterson, 2009, doi 10.1145/1498765.1498785), where both are near one another a little slower
than either, and it takes at least its launch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from memorymark.simulator.time import tiles
from memorymark.simulator.time.calibration import Calibration
from memorymark.simulator.time.kernels import Kernel, Kind
from memorymark.simulator.time.speeds import Speeds

Array = Any

KINDS = tuple(Kind)
CODES = {kind: code for code, kind in enumerate(KINDS)}
_FORMATS = {torch.float16: 1, torch.bfloat16: 2}
_NONE = -1
TILED = (
    Kind.PRODUCT, Kind.ODD_PRODUCT, Kind.CONVOLUTION, Kind.CONVOLUTION_WEIGHTS, Kind.GROUPED,
    Kind.GROUPED_WEIGHTS,
)  # fmt: skip
FUSED = (Kind.FLASH, Kind.EFFICIENT)
DEPTHWISE = (
    Kind.DEPTHWISE, Kind.DEPTHWISE_WEIGHTS, Kind.DEPTHWISE_PLAIN, Kind.DEPTHWISE_PLAIN_WEIGHTS,
    Kind.DEPTHWISE_LAST, Kind.DEPTHWISE_LAST_WEIGHTS, Kind.DEPTHWISE_LARGE,
)  # fmt: skip
_CONVOLUTIONS = TILED[2:]
# Threads of a multiprocessor that resizing keeps busy.
_RESIZING_THREADS = 1024
# Rows that a block sums at once, and its columns.
_SUMMED = 32
_ROWS = (Kind.ROW_NORM, Kind.ROW_NORM_BACKWARD)
_LAYOUTS = (Kind.LAYOUT, Kind.LAYOUT_BACKWARD)


@dataclass(frozen=True)
class Table:
    """Kernels as columns: one array for each field of Kernel, and one for each question."""

    kinds: Array
    formats: Array
    launches: Array
    moved_bytes: Array
    rows: Array
    columns: Array
    depth: Array
    batch: Array

    @classmethod
    def of(cls, kernels: Sequence[Kernel]) -> Table:
        """Return the table of some kernels."""
        parts = [
            (CODES[kernel.kind], _format(kernel.dtype), *kernel[2:]) for kernel in kernels
        ]  # fmt: skip
        cells = np.array(parts, dtype=float).reshape(-1, 8).T
        return cls(cells[0].astype(int), cells[1].astype(int), *cells[2:])

    def among(self, kinds: Sequence[Kind]) -> Array:
        """Return which kernels are of some kinds."""
        return np.isin(self.kinds, [CODES[kind] for kind in kinds])


def kernel_seconds(table: Table, speeds: Speeds, calibration: Calibration) -> Array:
    """Return the seconds of each kernel.

    Args:
        table: The kernels.
        speeds: What the card does in a second.
        calibration: The shares of it that kernels reach.
    """
    power = calibration.overlap
    memory = _memory_seconds(table, speeds, calibration)
    arithmetic = _arithmetic_seconds(table, speeds, calibration)
    together = (memory**power + arithmetic**power) ** (1 / power)
    return together + calibration.launch_seconds * table.launches


def _memory_seconds(table: Table, speeds: Speeds, calibration: Calibration) -> Array:
    """Of what a kernel moves, as much as stays in the cache comes faster."""
    moved = table.moved_bytes
    if not speeds.copies_fp32:
        moved = np.where(table.among(_LAYOUTS) & (table.formats == 0), 0.0, moved)
    cached = np.minimum(moved, calibration.l2_reuse * speeds.l2_bytes * table.launches)
    shares = np.array([calibration.bandwidth_share(kind) for kind in KINDS])
    passed = moved - cached + cached / calibration.l2_speed
    return passed / (
        speeds.bandwidth_bytes * shares[table.kinds] * _busy(table, speeds, calibration)
    )


def _busy(table: Table, speeds: Speeds, calibration: Calibration) -> Array:
    """Return which share of the bandwidth kernels can draw that are a block for each channel."""
    drawn = table.columns * calibration.multiprocessor_draw / speeds.multiprocessors
    return np.where(table.among((Kind.NORM,)) & (table.columns > 0), np.minimum(1.0, drawn), 1.0)


def _arithmetic_seconds(table: Table, speeds: Speeds, calibration: Calibration) -> Array:
    shares = np.array([calibration.arithmetic_share(kind) for kind in KINDS])[table.kinds]
    by_use = np.array([speeds.product_flops, speeds.convolution_flops])
    uses = table.among(_CONVOLUTIONS).astype(int)
    single = table.among((Kind.PRODUCT, Kind.ODD_PRODUCT)) & (table.formats == 0)
    shares = np.where(single, shares * calibration.single_product, shares)
    rates = by_use[uses, table.formats] * shares
    flops = 2.0 * table.rows * table.columns * table.depth * table.batch
    seconds = np.zeros(len(flops))
    fused, depthwise, tiled = (table.among(kinds) for kinds in (FUSED, DEPTHWISE, TILED))
    direct, resized = table.among((Kind.GROUPED_DIRECT_WEIGHTS,)), table.among((Kind.RESIZE,))
    seconds[fused] = flops[fused] / rates[fused]
    seconds[depthwise] = flops[depthwise] / (speeds.fp32_flops * shares[depthwise])
    narrow = 1 + calibration.direct_width / np.maximum(table.rows[direct], 1)
    seconds[direct] = flops[direct] * narrow / (speeds.fp32_flops * shares[direct])
    seconds[resized] = (
        calibration.trip_seconds
        * table.depth[resized]
        * np.maximum(1.0, table.rows[resized] / (speeds.multiprocessors * _RESIZING_THREADS))
    )
    blocks, summed = table.among(_ROWS), table.among((Kind.ROW_SUM,))
    clocks = calibration.row_clocks / (speeds.multiprocessors * speeds.clock_hz)
    seconds[blocks] = table.rows[blocks] * clocks
    seconds[summed] = (
        calibration.trip_seconds
        * table.rows[summed]
        / _SUMMED
        * np.maximum(1.0, table.columns[summed] / (speeds.multiprocessors * _SUMMED))
    )
    sizes = np.where(table.formats == 0, 4.0, 2.0)
    seconds[tiled] = tiles.seconds(
        table.rows[tiled], table.columns[tiled], table.depth[tiled], table.batch[tiled],
        sizes[tiled], rates[tiled], speeds, calibration,
    )  # fmt: skip
    return seconds


def _format(dtype: torch.dtype | None) -> int:
    return _NONE if dtype is None else _FORMATS.get(dtype, 0)
