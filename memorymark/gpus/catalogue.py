"""The GPU catalogue: one row of gpus.csv is one Gpu.

Units: bytes, floating-point operations per second without sparsity, bytes per second, dollars.
Tensor figures are those with FP32 accumulation, which training uses; on GeForce cards they are
half of what is often quoted. Every group of figures carries its source and the date, or month or
year, on which it was seen; a source that could not be named or opened says so. What is unknown is
empty in the file and None here.
"""

from __future__ import annotations

import csv
import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from memorymark.errors import UnknownChoice
from memorymark.units import MIB

DEFAULT_GPU = "a100-40gb"

_ASSUMED_CONTEXT_BYTES = {
    (7, 5): 141 * MIB,
    (8, 0): 501 * MIB,
    (8, 6): 256 * MIB,
    (8, 9): 507 * MIB,
}
_ASSUMED_CONTEXT_ELSEWHERE_BYTES = 512 * MIB


@dataclass(frozen=True)
class Gpu:
    """One GPU, as far as it is known.

    Attributes:
        key: Name in lower case, as in "a100-40gb".
        name: Name for people.
        device_names: What torch and NVML call it.
        total_bytes: Memory as torch reports it (`total_memory`).
        memory_source: Where total_bytes was seen.
        memory_observed_at: When.
        context_bytes: What a process' CUDA context and libraries take of it.
        context_source: Where context_bytes was seen.
        context_observed_at: When.
        compute_capability: Major and minor.
        fp32_flops: Peak operations per second outside tensor cores.
        tf32_flops: Peak with TF32 inputs; None where the hardware has none.
        fp16_flops: Peak of FP16 tensor cores.
        bf16_flops: Peak of BF16 tensor cores; None where the hardware has none.
        bandwidth_bytes_per_s: Peak of the device's memory.
        performance_source: Where the peaks were seen.
        performance_observed_at: When.
        usd_per_hour: Price of renting one.
        price_source: Where the price was seen, and whose it is.
        price_observed_at: When.
    """

    key: str
    name: str
    device_names: tuple[str, ...]
    total_bytes: int
    memory_source: str
    memory_observed_at: str
    context_bytes: int | None
    context_source: str | None
    context_observed_at: str | None
    compute_capability: tuple[int, int]
    fp32_flops: float
    tf32_flops: float | None
    fp16_flops: float
    bf16_flops: float | None
    bandwidth_bytes_per_s: float
    performance_source: str
    performance_observed_at: str
    usd_per_hour: float | None
    price_source: str | None
    price_observed_at: str | None

    @property
    def context_is_assumed(self) -> bool:
        """Whether no reading of the context is known for this GPU."""
        return self.context_bytes is None

    @property
    def likely_context_bytes(self) -> int:
        """The context, or the largest reading of its generation where it is unknown.

        Generations without any reading (compute capability 7.0, 9.0, 10.0, 12.0) are taken at
        512 MiB, near the largest reading of any.
        """
        if self.context_bytes is not None:
            return self.context_bytes
        return _ASSUMED_CONTEXT_BYTES.get(self.compute_capability, _ASSUMED_CONTEXT_ELSEWHERE_BYTES)

    @property
    def usable_bytes(self) -> int:
        """Memory that is left for the caching allocator once the context exists."""
        return self.total_bytes - self.likely_context_bytes

    @property
    def peak_flops(self) -> dict[str, float | None]:
        """Peaks by number format: fp32, tf32, fp16, bf16."""
        return {
            "fp32": self.fp32_flops,
            "tf32": self.tf32_flops,
            "fp16": self.fp16_flops,
            "bf16": self.bf16_flops,
        }

    @property
    def sources(self) -> dict[str, tuple[str | None, str | None]]:
        """(source, date) of each group of figures."""
        return {
            "memory": (self.memory_source, self.memory_observed_at),
            "context": (self.context_source, self.context_observed_at),
            "performance": (self.performance_source, self.performance_observed_at),
            "price": (self.price_source, self.price_observed_at),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all figures, ready for JSON."""
        values = dataclasses.asdict(self)
        values["device_names"] = list(self.device_names)
        values["compute_capability"] = list(self.compute_capability)
        values["usable_bytes"] = self.usable_bytes
        values["context_is_assumed"] = self.context_is_assumed
        return values


@lru_cache(maxsize=1)
def _rows() -> tuple[Gpu, ...]:
    file = resources.files("memorymark.gpus").joinpath("gpus.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        return tuple(_gpu(row) for row in csv.DictReader(lines))


def load_catalogue() -> dict[str, Gpu]:
    """Return all GPUs of the catalogue by key, in the order of the file."""
    return {gpu.key: gpu for gpu in _rows()}


def find_gpu(name: str) -> Gpu:
    """Find a GPU by its key, in any case.

    Raises:
        UnknownChoice: There is no such key; the error names the nearest one.

    Example:
        >>> find_gpu("A10").usd_per_hour
        0.6
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
    major, minor = row["compute_capability"].split(".")
    return Gpu(
        key=row["key"],
        name=row["name"],
        device_names=tuple(row["device_names"].split("|")),
        total_bytes=int(row["total_bytes"]),
        memory_source=row["memory_source"],
        memory_observed_at=row["memory_observed_at"],
        context_bytes=int(row["context_bytes"]) if row["context_bytes"] else None,
        context_source=row["context_source"] or None,
        context_observed_at=row["context_observed_at"] or None,
        compute_capability=(int(major), int(minor)),
        fp32_flops=float(row["fp32_flops"]),
        tf32_flops=_number(row["tf32_flops"]),
        fp16_flops=float(row["fp16_flops"]),
        bf16_flops=_number(row["bf16_flops"]),
        bandwidth_bytes_per_s=float(row["bandwidth_bytes_per_s"]),
        performance_source=row["performance_source"],
        performance_observed_at=row["performance_observed_at"],
        usd_per_hour=_number(row["usd_per_hour"]),
        price_source=row["price_source"] or None,
        price_observed_at=row["price_observed_at"] or None,
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
