"""The GPU catalogue: one row of gpus.csv is one Gpu.

Units: bytes, floating-point operations per second without sparsity, bytes per second, dollars.
Tensor figures are those with FP32 accumulation, which training uses; on GeForce cards they are
half of what is often quoted. Every group of figures carries its source and the date, or month or
year, on which it was seen; a source that could not be named or opened says so. What is unknown is
empty in the file and None here. Prices have a file and a rule of their own: price_list.py.

Apple's GPUs share their machine's memory: a row is a chip with so much of it, and its peaks are
those of the chip with most GPU cores that is sold with it. What MPS may use of it, Metal's
recommendedMaxWorkingSetSize, grows with macOS: figures are of the newest that was seen. Nobody
rents these machines by the hour, so they are in lists of targets and not among cards to choose from
by price or size.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources
from typing import Any

from memorymark.errors import UnknownChoice
from memorymark.gpus.gpu import Gpu
from memorymark.gpus.price_list import price_of

DEFAULT_GPU = "a100-40gb"
_NUMBERS = ("_flops", "_per_s", "_watts")


@lru_cache(maxsize=1)
def _rows() -> tuple[Gpu, ...]:
    file = resources.files("memorymark.gpus").joinpath("gpus.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        return tuple(_gpu(row) for row in csv.DictReader(lines))


def load_catalogue() -> dict[str, Gpu]:
    """Return all GPUs of the catalogue by key, in the order of the file."""
    return {gpu.key: gpu for gpu in _rows()}


def rentable_gpus() -> dict[str, Gpu]:
    """Return the GPUs that are rented by the hour: all but Apple's.

    Among these cards are compared by price, and the smallest that fits is looked for.
    """
    return {gpu.key: gpu for gpu in _rows() if not gpu.is_apple}


def find_gpu(name: str) -> Gpu:
    """Find a GPU by its key, in any case.

    Raises:
        UnknownChoice: There is no such key; the error names the nearest one.

    Example:
        >>> find_gpu("A10").name
        'NVIDIA A10'
    """
    catalogue = load_catalogue()
    try:
        return catalogue[name.strip().lower()]
    except KeyError:
        raise UnknownChoice("GPU", name, catalogue) from None


def find_gpu_by_device_name(device_name: str) -> Gpu | None:
    """Find the row of a device by what torch or NVML calls it; None where there is none."""
    wanted = device_name.strip().lower()
    for gpu in _rows():
        if wanted in (known.lower() for known in gpu.device_names):
            return gpu
    return None


def _gpu(row: dict[str, str]) -> Gpu:
    price = price_of(row["key"])
    return Gpu(
        **{name: _value(name, text) for name, text in row.items()},
        usd_per_hour=price and price.usd_per_hour,
        price_source=price and price.described,
        price_observed_at=price and price.observed_at,
    )


def _value(name: str, text: str) -> Any:
    """Read a cell by what its column's name says it is; an empty one is unknown."""
    if name == "device_names":
        return tuple(filter(None, text.split("|")))
    if not text:
        return None
    if name == "compute_capability":
        return tuple(map(int, text.split(".")))
    if name == "multiprocessors":
        return int(text)
    kind = int if name.endswith("_bytes") else float if name.endswith(_NUMBERS) else str
    return kind(text)
