"""What an allocator has taken from the device, segment by segment, for tests to look at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BlockView:
    """One block of a segment."""

    address: int
    size_bytes: int
    allocated: bool


@dataclass(frozen=True)
class SegmentView:
    """Memory in one piece, with its blocks in order of address, without gaps."""

    is_small: bool
    blocks: tuple[BlockView, ...]

    @property
    def size_bytes(self) -> int:
        return sum(block.size_bytes for block in self.blocks)


def segments_of(allocator) -> tuple[SegmentView, ...]:
    """Return the memory taken from the device, in order of address."""
    mapped = [*allocator._live.values(), *allocator._pools[0].free, *allocator._pools[1].free]
    heads = [block for block in mapped if block.before is None or not block.before.mapped]
    return tuple(_view(head) for head in sorted(heads, key=lambda block: block.address))


def _view(head) -> SegmentView:
    blocks, block = [], head
    while block is not None and block.mapped:
        blocks.append(BlockView(block.address, block.size_bytes, block.allocated))
        block = block.after
    return SegmentView(head.pool.is_small, tuple(blocks))
