"""Reading torch's own allocation history, in the shape torch documents."""

import pytest
from snapshot import read_trace

from memorymark.errors import InvalidValue
from memorymark.simulator.allocator.replay import replay

MIB = 1024**2
SMALL, LARGE, LATER = 0x7F00_0000_0000, 0x7F00_0020_0000, 0x7F00_0160_0000


def entry(action, addr, size, **more):
    return {"action": action, "addr": addr, "size": size, "stream": 0, "frames": [], **more}


def block(size, requested, state, address):
    return {
        "size": size,
        "requested_size": requested,
        "address": address,
        "state": state,
        "frames": [],
    }


def segment(address, total, kind, blocks):
    used = sum(b["size"] for b in blocks if b["state"] == "active_allocated")
    return {
        "device": 0,
        "address": address,
        "total_size": total,
        "allocated_size": used,
        "active_size": used,
        "requested_size": sum(b["requested_size"] for b in blocks),
        "stream": 0,
        "segment_type": kind,
        "segment_pool_id": (0, 0),
        "is_expandable": False,
        "blocks": blocks,
    }


@pytest.fixture
def snapshot():
    """Four allocations, one of them reused, and a segment that went back."""
    trace = [
        entry("segment_alloc", SMALL, 2 * MIB),
        entry("alloc", SMALL, 1000),
        entry("segment_alloc", LARGE, 20 * MIB),
        entry("alloc", LARGE, 3_000_000),
        entry("segment_alloc", LATER, 40 * MIB),
        entry("alloc", LATER, 40 * MIB),
        entry("free_requested", LATER, 40 * MIB),
        entry("free_completed", LATER, 40 * MIB),
        entry("segment_free", LATER, 40 * MIB),
        entry("free_requested", SMALL, 1000),
        entry("free_completed", SMALL, 1000),
        entry("alloc", SMALL, 200),
        {"action": "snapshot", "addr": 0, "size": 0, "stream": 0, "frames": []},
    ]
    segments = [
        segment(
            SMALL,
            2 * MIB,
            "small",
            [
                block(512, 200, "active_allocated", SMALL),
                block(2 * MIB - 512, 0, "inactive", SMALL + 512),
            ],
        ),
        segment(
            LARGE,
            20 * MIB,
            "large",
            [
                block(3_000_320, 3_000_000, "active_allocated", LARGE),
                block(20 * MIB - 3_000_320, 0, "inactive", LARGE + 3_000_320),
            ],
        ),
    ]
    return {"segments": segments, "device_traces": [trace]}


def test_the_history_becomes_a_trace(snapshot):
    trace = read_trace(snapshot)
    assert trace.events == (
        (0, 1000),
        (1, 3_000_000),
        (2, 40 * MIB),
        (2, -40 * MIB),
        (0, -1000),
        (3, 200),
    )
    assert trace.preexisting_blocks == 0
    assert not trace.ran_out_of_memory


def test_the_replay_reserves_what_the_gpu_reserved(snapshot):
    trace = read_trace(snapshot)
    assert trace.peak_reserved_bytes == 62 * MIB
    assert replay(trace.events).peak_reserved_bytes == trace.peak_reserved_bytes


def test_blocks_from_before_the_recording_come_first(snapshot):
    snapshot["device_traces"][0] = [
        entry("free_requested", SMALL, 1000),
        entry("free_completed", SMALL, 1000),
        entry("alloc", SMALL, 200),
    ]
    trace = read_trace(snapshot)
    assert trace.events == ((0, 1000), (1, 3_000_000), (0, -1000), (2, 200))
    assert trace.preexisting_blocks == 2
    assert trace.peak_reserved_bytes == 22 * MIB


def test_expandable_growth_counts_as_reserved():
    trace = [
        entry("segment_map", LARGE, 20 * MIB),
        entry("alloc", LARGE, 15 * MIB),
        entry("segment_map", LARGE + 20 * MIB, 20 * MIB),
        entry("free_completed", LARGE, 15 * MIB),
        entry("segment_unmap", LARGE, 40 * MIB),
    ]
    read = read_trace({"segments": [], "device_traces": [trace]})
    assert read.peak_reserved_bytes == 40 * MIB


def test_running_out_of_memory_is_told():
    trace = [{"action": "oom", "device_free": 5, "size": 10, "stream": 0, "frames": []}]
    assert read_trace({"segments": [], "device_traces": [trace]}).ran_out_of_memory


def test_a_device_without_history_is_an_error(snapshot):
    with pytest.raises(InvalidValue, match="device index"):
        read_trace(snapshot, 1)
