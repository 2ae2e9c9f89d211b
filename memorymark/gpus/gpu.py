"""One GPU, as far as it is known, and what follows from its figures. Units: see catalogue.py."""

from __future__ import annotations

from dataclasses import dataclass

from memorymark.gpus.host_link import CopyRate, HostLink, find_link
from memorymark.units import MIB

_MPS = "mps"
_ASSUMED_CONTEXT_BYTES = {
    (7, 5): 141 * MIB,
    (8, 0): 501 * MIB,
    (8, 6): 256 * MIB,
    (8, 9): 507 * MIB,
}
_ASSUMED_CONTEXT_ELSEWHERE_BYTES = 512 * MIB

# Cores for fp32 of a multiprocessor: CUDA C++ Programming Guide, arithmetic instructions.
_CORES = {(6, 0): 64, (7, 0): 64, (7, 5): 64, (8, 0): 64}
_CORES_ELSEWHERE = 128


@dataclass(frozen=True)
class Gpu:
    """One GPU, as far as it is known.

    Attributes:
        key: Name in lower case, as in "a100-40gb".
        name: Name for people.
        platform: Whose device it is to torch: "cuda", or "mps" for Apple's.
        device_names: What torch and NVML call it.
        total_bytes: Memory as torch reports it (`total_memory`); the machine's on Apple's.
        memory_source: Where total_bytes was seen.
        memory_observed_at: When.
        context_bytes: What a process' CUDA context and libraries take of it.
        context_source: Where context_bytes was seen.
        context_observed_at: When.
        compute_capability: Major and minor; None where it is no CUDA device.
        fp32_flops: Peak operations per second outside tensor cores.
        tf32_flops: Peak with TF32 inputs; None where the hardware has none.
        fp16_flops: Peak of FP16 tensor cores; without any, that of products in FP16.
        bf16_flops: Peak of BF16 tensor cores; None where the hardware has none.
        bandwidth_bytes_per_s: Peak of the device's memory.
        performance_source: Where the peaks were seen.
        performance_observed_at: When.
        multiprocessors: Its streaming multiprocessors, or Apple's GPU cores.
        l2_bytes: Its second-level cache, or Apple's system-level one.
        board_watts: The power that the board may draw; None where it is not published.
        hardware_source: Where these three were seen.
        hardware_observed_at: When.
        host_link: Its link to the host, as in "PCIe 4.0 x16"; None where it is not known, or where
            there is none (`no_link_reason` says which).
        host_link_source: Where it was seen.
        host_link_observed_at: When.
        recommended_bytes: What MPS may use of the memory; None where it is no Apple GPU.
        recommended_source: Where it was seen.
        recommended_observed_at: When.
        usd_per_hour: Price of renting one.
        price_source: Whose price it is, as in "RunPod on-demand", and where it was seen.
        price_observed_at: When.
    """

    key: str
    name: str
    platform: str
    device_names: tuple[str, ...]
    total_bytes: int
    memory_source: str
    memory_observed_at: str
    context_bytes: int | None
    context_source: str | None
    context_observed_at: str | None
    compute_capability: tuple[int, int] | None
    fp32_flops: float
    tf32_flops: float | None
    fp16_flops: float
    bf16_flops: float | None
    bandwidth_bytes_per_s: float
    performance_source: str
    performance_observed_at: str
    multiprocessors: int
    l2_bytes: int
    board_watts: float | None
    hardware_source: str
    hardware_observed_at: str
    host_link: str | None
    host_link_source: str | None
    host_link_observed_at: str | None
    recommended_bytes: int | None
    recommended_source: str | None
    recommended_observed_at: str | None
    usd_per_hour: float | None
    price_source: str | None
    price_observed_at: str | None

    @property
    def is_apple(self) -> bool:
        """Whether it is one of Apple's GPUs, which torch drives through MPS."""
        return self.platform == _MPS

    @property
    def capability(self) -> tuple[int, int]:
        """Its compute capability; below all that there are where it is no CUDA device."""
        return self.compute_capability or (0, 0)

    @property
    def context_is_assumed(self) -> bool:
        """Whether it has a CUDA context of which no reading is known."""
        return self.context_bytes is None and not self.is_apple

    @property
    def likely_context_bytes(self) -> int:
        """The context, or the largest reading of its generation where it is unknown.

        There is none on Apple's. Generations without any reading (compute capability 6.0, 7.0,
        9.0, 10.0, 12.0) are taken at 512 MiB, near the largest reading of any.
        """
        if self.is_apple:
            return 0
        if self.context_bytes is not None:
            return self.context_bytes
        return _ASSUMED_CONTEXT_BYTES.get(self.capability, _ASSUMED_CONTEXT_ELSEWHERE_BYTES)

    @property
    def usable_bytes(self) -> int:
        """Memory for the caching allocator: all but the context, or what MPS may use."""
        if self.recommended_bytes is not None:
            return self.recommended_bytes
        return self.total_bytes - self.likely_context_bytes

    @property
    def clock_hz(self) -> float:
        """The clock at which the stated peak in fp32 is reached: two operations a core and tick."""
        cores = _CORES.get(self.capability, _CORES_ELSEWHERE)
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
    def no_link_reason(self) -> str | None:
        """Why copies from and to the host have no rate, in a sentence; None where they have one."""
        if self.host_link:
            return None
        if self.is_apple:
            return f"The {self.name}'s memory is the host's: what is moved there makes no room."
        return f"The link between the {self.name} and its host is not known."

    @property
    def peak_flops(self) -> dict[str, float | None]:
        """Peaks by number format: fp32, tf32, fp16, bf16."""
        return {
            "fp32": self.fp32_flops,
            "tf32": self.tf32_flops,
            "fp16": self.fp16_flops,
            "bf16": self.bf16_flops,
        }
