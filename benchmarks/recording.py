"""Allocation traces of real training steps: recording, trimming, writing, reading, replaying.

A file is gzipped JSON: what was trained, the peaks that torch counted, and of
`torch.cuda.memory._snapshot()` only what snapshot.py reads.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from snapshot import read_trace

from memorymark.records.config import TrainingConfig
from memorymark.simulator.allocator.replay import replay
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.step import TrainingStep
from memorymark.workloads.base import Workload
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

STEPS = 3
MAX_FILE_BYTES = 4_000_000
MAX_ENTRIES = 1_000_000
_ACTIONS = (
    "alloc", "free_completed", "oom", "segment_alloc", "segment_free", "segment_map",
    "segment_unmap",
)  # fmt: skip


@dataclass(frozen=True)
class Replayed:
    """A recorded trace, beside what the simulated allocator makes of it.

    Attributes:
        name: What was trained.
        measured_allocated_bytes: Peak that torch counted.
        replayed_allocated_bytes: Peak of the replay.
        measured_reserved_bytes: Peak that torch counted.
        replayed_reserved_bytes: Peak of the replay.
        events: Allocations and releases.
        preexisting_blocks: Blocks from before the recording; any make the replay inexact.
    """

    name: str
    measured_allocated_bytes: int
    replayed_allocated_bytes: int
    measured_reserved_bytes: int
    replayed_reserved_bytes: int
    events: int
    preexisting_blocks: int

    @property
    def agrees(self) -> bool:
        """Whether the reserved peak came out to the byte."""
        return self.measured_reserved_bytes == self.replayed_reserved_bytes


def record(
    workload: Workload, config: TrainingConfig, batch_size: int, *, index: int = 0
) -> dict[str, Any]:
    """Build a model and train three steps while CUDA's allocator keeps its history.

    For an exact replay nothing may be allocated on the device before.
    """
    device = torch.device("cuda", index)
    memory = torch.cuda.memory
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    memory._record_memory_history(enabled="all", context=None, max_entries=MAX_ENTRIES)
    try:
        with torch.cuda.device(device):
            _train(workload, workload.describe(config), batch_size, device)
        torch.cuda.synchronize(device)
        snapshot = trimmed(memory._snapshot(), index)
    finally:
        memory._record_memory_history(enabled=None)
    return {
        "model": workload.name,
        "config": workload.describe(config).to_dict(),
        "batch_size": batch_size,
        "steps": STEPS,
        "peak_allocated_bytes": torch.cuda.max_memory_allocated(device),
        "peak_reserved_bytes": torch.cuda.max_memory_reserved(device),
        "snapshot": snapshot,
    }


def _train(
    workload: Workload, config: TrainingConfig, batch_size: int, device: torch.device
) -> None:
    runtime = DeviceRuntime(device)
    model = build_model(workload, config, device)
    with runtime.settings(config):
        step = TrainingStep(TrialSpec(workload, config, batch_size), model, runtime)
        for _ in range(STEPS):
            step()


def trimmed(snapshot: dict[str, Any], index: int) -> dict[str, Any]:
    """Keep one device of a snapshot, and of it only what is read."""
    entries = snapshot["device_traces"][index]
    segments = [s for s in snapshot["segments"] if s.get("device", 0) == index]
    return {
        "device_traces": [[_entry(e) for e in entries if e["action"] in _ACTIONS]],
        "segments": [_segment(segment) for segment in segments],
    }


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("action", "addr", "size") if key in entry}


def _segment(segment: dict[str, Any]) -> dict[str, Any]:
    kept = ("state", "size", "requested_size")
    blocks = [{key: b[key] for key in kept if key in b} for b in segment["blocks"]]
    return {
        "device": 0,
        "address": segment["address"],
        "total_size": segment["total_size"],
        "blocks": blocks,
    }


def write(file: Path, document: dict[str, Any]) -> bool:
    """Write a trace; return whether it is small enough to be kept."""
    text = json.dumps(document, separators=(",", ":"))
    data = gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0)
    if len(data) > MAX_FILE_BYTES:
        return False
    file.write_bytes(data)
    return True


def replay_file(file: Path) -> Replayed:
    """Replay a trace through the simulated allocator."""
    document = json.loads(gzip.decompress(file.read_bytes()))
    trace = read_trace(document["snapshot"])
    result = replay(trace.events)
    config = document["config"]
    return Replayed(
        name=f"{document['model']} {config['precision']} b{document['batch_size']}",
        measured_allocated_bytes=document["peak_allocated_bytes"],
        replayed_allocated_bytes=result.peak_allocated_bytes,
        measured_reserved_bytes=document["peak_reserved_bytes"],
        replayed_reserved_bytes=result.peak_reserved_bytes,
        events=len(trace.events),
        preexisting_blocks=trace.preexisting_blocks,
    )
