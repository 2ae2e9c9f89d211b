"""The seconds of matrix products, worked out in tiles.

Each multiprocessor makes one tile of the result at a time: it multiplies at its share of the
card's rate, or as fast as the second-level cache hands it the two strips that the tile is made of.
A product with fewer tiles than multiprocessors does not fill the card, and one with few tiles and a
long sum is split along the sum, which is added up afterwards (NVIDIA, "Matrix Multiplication
Background User's Guide": tile and wave quantization; CUTLASS, "Efficient GEMM": split-K).

A sum of one element is no sum: libraries write such a product as they write an element-wise one, at
the pace of its bytes (cuBLAS's `gemmk1_kernel`, as profilers name it). Results of up to 16 by 16
are blocks of a few warps, of which a multiprocessor holds 16 at once at least (CUDA C++ Programming
Guide, technical specifications per compute capability): while one waits for its strips, others
multiply.

Waves and rows of tiles are not rounded up: libraries have kernels of many sizes for a last wave,
and a sample more must not make a step faster or slower by chance. So a larger batch is never slower
per sample for its tiles. Where products have few waves, as in inference, what the last one leaves
idle on average is added (`last_wave`).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from memorymark.simulator.time.calibration import Calibration
from memorymark.simulator.time.speeds import Speeds

Array = Any

# Rows and columns of the tiles that libraries have kernels for.
_TILES = (
    (256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64),
    (256, 32), (32, 256), (128, 32), (32, 128), (128, 16), (16, 128),
)  # fmt: skip
# A result so small is one block, of which so many are on a multiprocessor at once.
_SMALL_RESULT, _SMALL_AT_ONCE = 16, 16
# A part of a split sum is at least so long.
_SHORTEST_SUM = 256
# A split product writes its parts in fp32 and reads them again.
_PART_BYTES = 8


def seconds(
    rows: Array, columns: Array, depth: Array, batch: Array, sizes: Array, rates: Array,
    speeds: Speeds, calibration: Calibration,
) -> Array:  # fmt: skip
    """Return the seconds of the best tiles for each product, without those of its bytes.

    Args:
        rows: Rows of the result.
        columns: Columns of it.
        depth: What is summed over.
        batch: Products beside one another.
        sizes: Bytes of an element.
        rates: Operations a second of the whole card.
        speeds: The card.
        calibration: What a tile costs before its sum begins, and the pace of the cache.
    """
    rate = rates / speeds.multiprocessors
    strip = calibration.l2_bytes_per_clock * speeds.clock_hz
    results = rows * columns * batch
    prologue, best = calibration.prologue, np.full(len(rows), np.inf)
    waves = functools.partial(_waves, speeds=speeds, calibration=calibration)
    small = (rows <= _SMALL_RESULT) & (columns <= _SMALL_RESULT)
    at_once = np.where(small, _SMALL_AT_ONCE, 1)
    # However many wait beside one another, they share the arithmetic.
    least = 2.0 * _SMALL_RESULT**2 * depth * batch / rates
    for height, width in _TILES:
        each = np.maximum(2.0 * height * width / rate, (height + width) * sizes / strip)
        count = np.maximum(1, rows / height) * np.ceil(columns / width) * batch
        most = np.maximum(1, depth / _SHORTEST_SUM)
        parts = np.clip(speeds.multiprocessors / np.maximum(count, 1), 1, most)
        whole = (depth + prologue) * each * waves(count / at_once)
        split = (depth / parts + prologue) * each * waves(count * parts / at_once)
        added = _PART_BYTES * parts * results / speeds.bandwidth_bytes
        best = np.minimum(best, np.minimum(whole, split + added))
    best = np.where(small, np.maximum(best, least), best)
    is_narrow = np.minimum(rows, columns) <= calibration.narrow
    return np.where((depth <= 1) | is_narrow, 0.0, best)


def _waves(count: Array, speeds: Speeds, calibration: Calibration) -> Array:
    waves = count / speeds.multiprocessors
    return np.maximum(1, waves + calibration.last_wave * np.minimum(1, waves))
