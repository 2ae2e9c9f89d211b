"""Read what `torch.cuda.memory._snapshot()` recorded on a real GPU as a trace to replay.

Replaying a real trace is the strictest test of the simulated allocator: the peak reserved memory
must come out as it was on the GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from memorymark.errors import InvalidValue

_GROWING = ("segment_alloc", "segment_map")
_SHRINKING = ("segment_free", "segment_unmap")


@dataclass(frozen=True)
class RecordedTrace:
    """Allocations that a real CUDA allocator served.

    Attributes:
        events: (block id, +requested bytes) and (block id, -requested bytes), in order. Blocks
            that were in use before the recording began come first.
        peak_reserved_bytes: Most bytes that the real allocator had taken from the device while
            recording.
        preexisting_blocks: Blocks in use before the recording began. Where there are any, the
            order in which they were made is unknown and a replay is only near.
        ran_out_of_memory: Whether the real allocator ran out of memory while recording.
    """

    events: tuple[tuple[int, int], ...]
    peak_reserved_bytes: int
    preexisting_blocks: int
    ran_out_of_memory: bool


def read_trace(snapshot: Mapping[str, Any], device_index: int = 0) -> RecordedTrace:
    """Turn the history of one device into a trace.

    A block is released where the allocator could use it again (`free_completed`).

    Args:
        snapshot: What `torch.cuda.memory._snapshot()` returns, with history recorded.
        device_index: The device, by torch's count.

    Raises:
        InvalidValue: There is no history for the device.
    """
    traces = snapshot.get("device_traces", ())
    if not 0 <= device_index < len(traces):
        raise InvalidValue("device index", device_index, f"one of {len(traces)} recorded devices")
    entries = traces[device_index]
    segments = [s for s in snapshot.get("segments", ()) if s.get("device", 0) == device_index]
    earlier = dict(_earlier_blocks(entries, segments))
    return RecordedTrace(
        events=tuple(_events(entries, earlier)),
        peak_reserved_bytes=_peak_reserved(entries, segments),
        preexisting_blocks=len(earlier),
        ran_out_of_memory=any(entry["action"] == "oom" for entry in entries),
    )


def _events(entries: list[Any], earlier: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    live: dict[int, tuple[int, int]] = {}
    for block_id, (address, size_bytes) in enumerate(sorted(earlier.items())):
        live[address] = (block_id, size_bytes)
        yield block_id, size_bytes
    next_id = len(live)
    for entry in entries:
        if entry["action"] == "alloc" and entry["size"]:
            live[entry["addr"]] = (next_id, entry["size"])
            yield next_id, entry["size"]
            next_id += 1
        elif entry["action"] == "free_completed" and entry["addr"] in live:
            block_id, size_bytes = live.pop(entry["addr"])
            yield block_id, -size_bytes


def _earlier_blocks(entries: list[Any], segments: list[Any]) -> Iterator[tuple[int, int]]:
    """Yield (address, bytes) of blocks whose allocation was not recorded."""
    seen: set[int] = set()
    for entry in entries:
        if entry["action"] == "alloc":
            seen.add(entry["addr"])
        elif entry["action"] == "free_completed" and entry["addr"] not in seen:
            seen.add(entry["addr"])
            yield entry["addr"], entry["size"]
    for address, block in _blocks(segments):
        if block["state"] != "inactive" and address not in seen:
            yield address, block.get("requested_size", block["size"])


def _blocks(segments: list[Any]) -> Iterator[tuple[int, Any]]:
    for segment in segments:
        address = segment["address"]
        for block in segment["blocks"]:
            yield address, block
            address += block["size"]


def _peak_reserved(entries: list[Any], segments: list[Any]) -> int:
    change = highest = 0
    for entry in entries:
        if entry["action"] in _GROWING:
            change += entry["size"]
            highest = max(highest, change)
        elif entry["action"] in _SHRINKING:
            change -= entry["size"]
    at_end = sum(segment["total_size"] for segment in segments)
    return at_end - change + highest
