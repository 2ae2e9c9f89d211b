"""Blocks of simulated device memory and the free lists that hold them.

The rules that use them are in `memorymark.simulator.allocator.caching_allocator`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

KIB = 1024
MIB = 1024 * KIB

MIN_BLOCK_BYTES = 512
SMALL_REQUEST_BYTES = MIB
SMALL_SEGMENT_BYTES = 2 * MIB
LARGE_SEGMENT_BYTES = 20 * MIB
OWN_SEGMENT_REQUEST_BYTES = 10 * MIB
SEGMENT_ROUNDING_BYTES = 2 * MIB


def round_up(size_bytes: int, step_bytes: int) -> int:
    """Return the smallest multiple of the step that is not below the size."""
    return -(-size_bytes // step_bytes) * step_bytes


def round_request(size_bytes: int) -> int:
    """Return the block size that a request is rounded to.

    Example:
        >>> round_request(1), round_request(512), round_request(513)
        (512, 512, 1024)
    """
    return max(MIN_BLOCK_BYTES, round_up(size_bytes, MIN_BLOCK_BYTES))


def segment_bytes(block_bytes: int) -> int:
    """Return the size of the segment that is taken from the device for a block.

    Example:
        >>> [segment_bytes(n * MIB) // MIB for n in (1, 2, 10, 11)]
        [2, 20, 10, 12]
    """
    if block_bytes <= SMALL_REQUEST_BYTES:
        return SMALL_SEGMENT_BYTES
    if block_bytes < OWN_SEGMENT_REQUEST_BYTES:
        return LARGE_SEGMENT_BYTES
    return round_up(block_bytes, SEGMENT_ROUNDING_BYTES)


class Block:
    """A stretch of a segment: in use, free, or address space without memory behind it.

    Attributes:
        pool: The pool that it returns to.
        address: First byte.
        size_bytes: Length.
        mapped: Whether memory backs it; only parts of expandable segments are ever unmapped.
        origin: First address of its expandable segment; None in an ordinary segment.
        allocated: Whether it is in use.
        before: Neighbour at the lower address, in the same segment.
        after: Neighbour at the higher address, in the same segment.
    """

    __slots__ = (
        "address", "after", "allocated", "before", "mapped", "origin", "pool", "size_bytes",
    )  # fmt: skip

    def __init__(
        self,
        pool: Pool,
        address: int,
        size_bytes: int,
        mapped: bool = True,
        origin: int | None = None,
        before: Block | None = None,
        after: Block | None = None,
    ) -> None:
        self.pool = pool
        self.address = address
        self.size_bytes = size_bytes
        self.mapped = mapped
        self.origin = origin
        self.allocated = False
        self.before = before
        self.after = after

    @property
    def is_whole_segment(self) -> bool:
        """Whether nothing else is in its segment."""
        return self.before is None and self.after is None

    def cut(self, size_bytes: int) -> Block:
        """Shorten the block and return the rest as its new, free neighbour."""
        after = self.after
        rest = Block(
            self.pool, self.address + size_bytes, self.size_bytes - size_bytes,
            self.mapped, self.origin, self, after,
        )  # fmt: skip
        if after is not None:
            after.before = rest
        self.size_bytes = size_bytes
        self.after = rest
        return rest

    def absorb_neighbours(self) -> None:
        """Merge with the neighbours that are in the same state, taking them off their lists."""
        before, after, mapped = self.before, self.after, self.mapped
        if before is not None and not before.allocated and before.mapped == mapped:
            self.list.remove(before)
            self.address = before.address
            self.size_bytes += before.size_bytes
            self.before = before = before.before
            if before is not None:
                before.after = self
        if after is not None and not after.allocated and after.mapped == mapped:
            self.list.remove(after)
            self.size_bytes += after.size_bytes
            self.after = after = after.after
            if after is not None:
                after.before = self

    @property
    def list(self) -> BlockList:
        """The list of its pool on which it stands while it is not in use."""
        return self.pool.free if self.mapped else self.pool.unmapped


class BlockList:
    """Blocks in order of size, then address.

    They stand in one row for each size: in a long list of all, each change would move thousands.
    """

    def __init__(self) -> None:
        self._sizes: list[int] = []
        # By size: negative addresses and blocks in order, so that the lowest address comes last.
        self._rows: dict[int, list[tuple[int, Block]]] = {}

    def __len__(self) -> int:
        return sum(len(row) for row in self._rows.values())

    def __iter__(self) -> Iterator[Block]:
        return self.at_least(0)

    def add(self, block: Block) -> None:
        """Put a block on the list."""
        size_bytes = block.size_bytes
        row = self._rows.get(size_bytes)
        if row is None:
            insort(self._sizes, size_bytes)
            self._rows[size_bytes] = [(-block.address, block)]
        else:
            insort(row, (-block.address, block))

    def remove(self, block: Block) -> None:
        """Take a block off the list. Its size and address must be those it was added with."""
        size_bytes = block.size_bytes
        row = self._rows[size_bytes]
        if len(row) == 1:
            position = 0
            self._drop(size_bytes)
        else:
            position = bisect_left(row, (-block.address,))
        assert row[position][1] is block
        del row[position]

    def at_least(self, size_bytes: int) -> Iterator[Block]:
        """Yield the blocks that are large enough, best fit first."""
        sizes = self._sizes
        for position in range(bisect_left(sizes, size_bytes), len(sizes)):
            for _, block in reversed(self._rows[sizes[position]]):
                yield block

    def take_smallest(self, size_bytes: int) -> Block | None:
        """Take the smallest block off the list that is large enough, None where none is."""
        sizes = self._sizes
        position = bisect_left(sizes, size_bytes)
        if position == len(sizes):
            return None
        size_bytes = sizes[position]
        row = self._rows[size_bytes]
        _, block = row.pop()
        if not row:
            del self._rows[size_bytes], sizes[position]
        return block

    def _drop(self, size_bytes: int) -> None:
        del self._rows[size_bytes]
        del self._sizes[bisect_left(self._sizes, size_bytes)]


class Pool:
    """The blocks that nobody uses, of the small or of the large requests.

    Attributes:
        is_small: Which of the two it is.
        free: Blocks ready for use.
        unmapped: Address space of expandable segments without memory behind it.
    """

    def __init__(self, *, is_small: bool) -> None:
        self.is_small = is_small
        self.free = BlockList()
        self.unmapped = BlockList()

    @property
    def page_bytes(self) -> int:
        """What an expandable segment of this pool grows by."""
        return SMALL_SEGMENT_BYTES if self.is_small else LARGE_SEGMENT_BYTES

    @property
    def least_segment_bytes(self) -> int:
        """The smallest segment that is taken from the device for a request of this pool."""
        return SMALL_SEGMENT_BYTES if self.is_small else OWN_SEGMENT_REQUEST_BYTES
