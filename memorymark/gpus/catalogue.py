"""The GPU catalogue: one row of gpus.csv is one Gpu.

Units: bytes, floating-point operations per second without sparsity, bytes per second, dollars.
Tensor figures are those with FP32 accumulation, which training uses; on GeForce cards they are
half of what is often quoted. Every group of figures carries its source and the date, or month or
year, on which it was seen; a source that could not be named or opened says so. What is unknown is
empty in the file and None here. Prices have a file and a rule of their own: price_list.py.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from memorymark.errors import UnknownChoice
from memorymark.gpus.host_link import CopyRate, HostLink, find_link
from memorymark.gpus.price_list import price_of
from memorymark.units import MIB

DEFAULT_GPU = "a100-40gb"
_NUMBERS = ("_flops", "_per_s", "_watts")

_ASSUMED_CONTEXT_BYTES = {
    (7, 5): 141 * MIB,
    (8, 0): 501 * MIB,
    (8, 6): 256 * MIB,
    (8, 9): 507 * MIB,
}
_ASSUMED_CONTEXT_ELSEWHERE_BYTES = 512 * MIB

# Cores for fp32 of a multiprocessor: CUDA C++ Programming Guide, arithmetic instructions.
_CORES = {(7, 0): 64, (7, 5): 64, (8, 0): 64}
_CORES_ELSEWHERE = 128


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
        multiprocessors: Its streaming multiprocessors.
        l2_bytes: Its second-level cache.
        board_watts: The power that the board may draw.
        hardware_source: Where these three were seen.
        hardware_observed_at: When.
        host_link: Its link to the host, as in "PCIe 4.0 x16"; None where it is not known.
        host_link_source: Where it was seen.
        host_link_observed_at: When.
        usd_per_hour: Price of renting one.
        price_source: Whose price it is, as in "RunPod on-demand", and where it was seen.
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
    multiprocessors: int
    l2_bytes: int
    board_watts: float
    hardware_source: str
    hardware_observed_at: str
    host_link: str | None
    host_link_source: str | None
    host_link_observed_at: str | None
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
    def clock_hz(self) -> float:
        """The clock at which the stated peak in fp32 is reached: two operations a core and tick."""
        cores = _CORES.get(self.compute_capability, _CORES_ELSEWHERE)
        return self.fp32_flops / (2 * cores * self.multiprocessors)

    @property
    def is_geforce(self) -> bool:
        """Whether it is a card for games, which clocks above what its peaks are stated at."""
        return "GeForce" in self.name

    @property
    def link(self) -> HostLink | None:
        """What its link to the host is worth; None where it is not known."""
        return find_link(self.host_link) if self.host_link else None

    @property
    def host_to_device_bytes_per_second(self) -> CopyRate | None:
        """What copies from pinned memory reach: likely, low and high; None where unknown."""
        return self.link and self.link.host_to_device

    @property
    def device_to_host_bytes_per_second(self) -> CopyRate | None:
        """What copies to pinned memory reach: likely, low and high; None where unknown."""
        return self.link and self.link.device_to_host

    @property
    def peak_flops(self) -> dict[str, float | None]:
        """Peaks by number format: fp32, tf32, fp16, bf16."""
        return {
            "fp32": self.fp32_flops,
            "tf32": self.tf32_flops,
            "fp16": self.fp16_flops,
            "bf16": self.bf16_flops,
        }


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
        return tuple(text.split("|"))
    if name == "compute_capability":
        return tuple(map(int, text.split(".")))
    if not text:
        return None
    if name == "multiprocessors":
        return int(text)
    kind = int if name.endswith("_bytes") else float if name.endswith(_NUMBERS) else str
    return kind(text)
