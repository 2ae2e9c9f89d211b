"""The seconds of matrix products, worked out in tiles.

Each multiprocessor makes one tile of the result at a time: it multiplies at its share of the
card's rate, or as fast as the second-level cache hands it the two strips that the tile is made of.
A last wave of tiles that does not fill the card takes as long as a full one, and a product with few
tiles and a long sum is split along the sum, which is added up afterwards (NVIDIA, "Matrix
Multiplication Background User's Guide": tile and wave quantization; CUTLASS, "Efficient GEMM":
split-K).
"""

from __future__ import annotations

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
    best = np.full(len(rows), np.inf)
    for height, width in _TILES:
        each = np.maximum(2.0 * height * width / rate, (height + width) * sizes / strip)
        count = np.ceil(rows / height) * np.ceil(columns / width) * batch
        waves = np.ceil(count / speeds.multiprocessors)
        whole = waves * (depth + calibration.prologue) * each
        parts = np.clip(
            speeds.multiprocessors // np.maximum(count, 1), 1, np.maximum(1, depth / _SHORTEST_SUM)
        )
        split = (depth / parts + calibration.prologue) * each * np.ceil(
            count * parts / speeds.multiprocessors
        ) + _PART_BYTES * parts * results / speeds.bandwidth_bytes
        best = np.minimum(best, np.where(parts > 1, np.minimum(whole, split), whole))
    return best
