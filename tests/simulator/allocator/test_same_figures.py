"""Replays give the figures that they gave before they were made faster.

The digests are those of the allocator of version 0.1.0 (commit 411e463) on the same random traces.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple
from random import Random

import pytest

from memorymark.simulator.allocator.least_capacity import minimum_bytes
from memorymark.simulator.allocator.replay import replay

KIB, MIB = 1024, 1024**2
TRACES, BLOCKS = 40, 120
BEFORE = {
    False: "ed2c7bf56ebafac3",
    True: "b0fded134c0e3a28",
}


def random_trace(seed: int) -> list[tuple[int, int]]:
    """Return a trace with sizes about every threshold of the allocator, and much freed early."""
    random = Random(seed)
    events: list[tuple[int, int]] = []
    live: list[tuple[int, int]] = []

    def below(limit: int) -> int:
        return int(random.random() * limit)  # the one draw that no version of Python changes

    for block_id in range(BLOCKS):
        size = 1 + below((KIB, 64 * KIB, 2 * MIB, 12 * MIB, 50 * MIB)[below(5)])
        events.append((block_id, size))
        live.append((block_id, size))
        while live and random.random() < 0.42:
            freed, freed_size = live.pop(below(len(live)))
            events.append((freed, -freed_size))
    return events


@pytest.mark.parametrize("expandable", [False, True])
def test_random_traces_come_to_what_they_came_to(expandable: bool) -> None:
    digest = hashlib.sha256()
    for seed in range(TRACES):
        events = random_trace(seed)
        free = replay(events, expandable_segments=expandable)
        least = minimum_bytes(events, free, expandable_segments=expandable)
        shares = (free.peak_reserved_bytes * tenths // 10 for tenths in (6, 8, 9))
        tight = [replay(events, share, expandable_segments=expandable) for share in shares]
        digest.update(repr([least, *map(astuple, (free, *tight))]).encode())
    assert digest.hexdigest()[:16] == BEFORE[expandable]
