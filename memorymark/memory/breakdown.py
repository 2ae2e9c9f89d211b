"""What was alive at the peak of a trace, and live bytes over its last step."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import NamedTuple

from memorymark.memory.holder_groups import group_holders
from memorymark.memory.trace import BACKWARD, FORWARD, OPTIMIZER, SETUP, STEP, Block, Trace
from memorymark.records.held_memory import Breakdown, Holder, HolderGroup, Timeline
from memorymark.records.operation_names import plain_operation

MAX_POINTS = 2000
MAX_HOLDERS = 10
OPTIMIZER_STEP = "optimizer step"


def peak_position(trace: Trace, start: int = 0) -> int:
    """Return the number of the event after which most bytes are live, from `start` on."""
    live = list(accumulate(size for _, size in trace.events))
    if len(live) <= start:
        return len(live) - 1
    return max(range(start, len(live)), key=live.__getitem__)


def live_at(trace: Trace, position: int) -> list[int]:
    """Return the ids of the blocks that are live after the event at `position`."""
    live: dict[int, None] = {}
    for block_id, size in trace.events[: position + 1]:
        if size > 0:
            live[block_id] = None
        else:
            live.pop(block_id, None)
    return list(live)


class Held(NamedTuple):
    """What was alive at an event.

    Attributes:
        breakdown: All of it, by what it is for.
        holders: The ten largest holders.
        groups: The ten largest groups of holders of one kind.
    """

    breakdown: Breakdown
    holders: tuple[Holder, ...]
    groups: tuple[HolderGroup, ...]


def breakdown_at(trace: Trace, position: int) -> Held:
    """Return what the live blocks are for, and who holds most.

    Activations are blocks made in a forward pass and still alive in the backward pass or
    later; what a forward pass releases before its end is a temporary. Groups have plain names;
    in the list of single holders operations are named as torch writes them.
    """
    categories = _categories(trace)
    totals: Counter[str] = Counter()
    holders: Counter[tuple[str, str]] = Counter()
    plain: Counter[tuple[str, str]] = Counter()
    for block_id in live_at(trace, position):
        block, category = trace.blocks[block_id], categories[block_id]
        totals[category] += block.size_bytes
        name = _holder(block)
        holders[name or str(block.operation), category] += block.size_bytes
        plain[name or _work(block), category] += block.size_bytes
    groups = group_holders(_ordered(plain))[:MAX_HOLDERS]
    return Held(Breakdown(**totals), tuple(_ordered(holders)[:MAX_HOLDERS]), groups)


def timeline(trace: Trace, start: int = 0, end: int | None = None) -> Timeline:
    """Return live bytes over the events from `start` to `end`, peaks kept, at most 2,000 points."""
    live = list(accumulate(size for _, size in trace.events[:end]))
    positions = _thinned(live, start)
    marks = [mark for mark in trace.marks if mark[1] >= start]
    if (STEP, start) in marks:  # what is marked at the same event before it ended the last step
        marks = marks[marks.index((STEP, start)) :]
    phases = tuple((name, at - start) for name, at in marks if name != STEP)
    return Timeline(
        positions=tuple(position - start for position in positions),
        allocated_bytes=tuple(live[position] for position in positions),
        phases=tuple((name, at) for name, at in phases if at <= len(live) - start),
    )


def _thinned(live: list[int], start: int) -> list[int]:
    """Keep the highest and the lowest point of each of at most 1,000 stretches."""
    positions = range(start, len(live))
    if len(positions) <= MAX_POINTS:
        return list(positions)
    width = -(-len(positions) * 2 // MAX_POINTS)
    kept: list[int] = []
    for left in range(start, len(live), width):
        stretch = range(left, min(left + width, len(live)))
        kept.extend(
            sorted({max(stretch, key=live.__getitem__), min(stretch, key=live.__getitem__)})
        )
    return kept


def _categories(trace: Trace) -> list[str]:
    """Return each block's category; those without a certain one by where and how long it lived."""
    released_in = _release_phases(trace)
    return [
        block.category or _by_life(block.phase, block.path, released_in.get(block_id))
        for block_id, block in enumerate(trace.blocks)
    ]


def _by_life(made_in: str, path: str, released_in: str | None) -> str:
    if made_in == FORWARD and released_in not in (FORWARD, STEP):
        return "activations"
    if made_in == BACKWARD and path:
        return "activations"  # made again by a checkpoint
    return "temporaries"


def _release_phases(trace: Trace) -> dict[int, str]:
    phases: dict[int, str] = {}
    marks = iter([*trace.marks, ("", len(trace.events) + 1)])
    phase, (next_phase, next_at) = SETUP, next(marks)
    for position, (block_id, size) in enumerate(trace.events):
        while position >= next_at:
            phase, (next_phase, next_at) = next_phase, next(marks)
        if size < 0:
            phases[block_id] = phase
    return phases


def _ordered(holders: Counter[tuple[str, str]]) -> list[Holder]:
    """Return the holders of a count by name and category, largest first."""
    ordered = sorted(holders.items(), key=lambda item: (-item[1], item[0]))
    return [Holder(path, category, size) for (path, category), size in ordered]


def _holder(block: Block) -> str:
    """Return the part of the model that holds a block, "" where none does."""
    if block.owner:
        return block.owner.rpartition(".")[0] or block.owner
    return block.path


def _work(block: Block) -> str:
    """Say what made a block that belongs to no part of the model."""
    if isinstance(block.operation, str):
        return block.operation
    if block.phase == OPTIMIZER:
        return OPTIMIZER_STEP
    return plain_operation(str(block.operation), backward=block.phase == BACKWARD)
