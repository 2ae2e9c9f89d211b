"""Where the caching allocator gets its memory from: the device, in segments.

Two ways, as in PyTorch: one cudaMalloc for each segment, or expandable segments that are mapped
page by page. The rules are in `memorymark.simulator.allocator.caching_allocator`.
"""

from __future__ import annotations

from memorymark.simulator.allocator.blocks import (
    MIN_BLOCK_BYTES,
    Block,
    Pool,
    round_up,
    segment_bytes,
)

_SLOT_BYTES = 2**62
_SLOTS = 2**32
_SCATTER = 0x9E3779B1  # odd, so that no slot comes twice: 2**32 over the golden ratio
_UNLIMITED_ADDRESS_SPACE = 1 << 50
_LARGE_SPLIT_REMAINDER_BYTES = 1024 * 1024


class Device:
    """Memory that can be taken and given back, up to a capacity.

    Attributes:
        capacity_bytes: What it hands out in all; None is without limit.
        taken_bytes: What is out.
        peak_taken_bytes: The most that was out.
    """

    def __init__(self, capacity_bytes: int | None) -> None:
        self.capacity_bytes = capacity_bytes
        self.taken_bytes = 0
        self.peak_taken_bytes = 0
        self._stretches = 0

    def take(self, size_bytes: int) -> bool:
        """Take memory, or say that there is not enough."""
        taken = self.taken_bytes + size_bytes
        if self.capacity_bytes is not None and taken > self.capacity_bytes:
            return False
        self.taken_bytes = taken
        self.peak_taken_bytes = max(self.peak_taken_bytes, taken)
        return True

    def give_back(self, size_bytes: int) -> None:
        """Return memory."""
        self.taken_bytes -= size_bytes

    def address_space(self, size_bytes: int) -> int:
        """Return the first address of a stretch that was never used before.

        Stretches lie scattered, in an order that is the same in every run: each has a slot of
        its own, and the slots follow a multiplicative permutation.
        """
        assert size_bytes <= _SLOT_BYTES
        self._stretches += 1
        return (self._stretches * _SCATTER % _SLOTS) * _SLOT_BYTES


class FixedSegments:
    """One cudaMalloc for each segment; a segment goes back when nothing in it is in use."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def best_fit(self, pool: Pool, size_bytes: int) -> Block | None:
        """Take the free block that fits best off its list."""
        return pool.free.take_smallest(size_bytes)

    def grow(self, pool: Pool, size_bytes: int) -> Block | None:
        """Take a segment from the device; it is on no list yet."""
        total = segment_bytes(size_bytes)
        if not self._device.take(total):
            return None
        return Block(pool, self._device.address_space(total), total)

    def least_remainder_bytes(self, pool: Pool) -> int:
        """Return from which size on what is left of a block is worth keeping apart."""
        return MIN_BLOCK_BYTES if pool.is_small else _LARGE_SPLIT_REMAINDER_BYTES + 1

    def releasable_bytes(self, pool: Pool) -> int:
        """Return the bytes of wholly free segments."""
        free = pool.free.at_least(pool.least_segment_bytes)
        return sum(block.size_bytes for block in free if block.is_whole_segment)

    def release(self, pool: Pool) -> None:
        """Give wholly free segments back."""
        for block in [block for block in pool.free if block.is_whole_segment]:
            pool.free.remove(block)
            self._device.give_back(block.size_bytes)


class ExpandableSegments:
    """One stretch of addresses for each pool, backed by memory page by page."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def best_fit(self, pool: Pool, size_bytes: int) -> Block | None:
        """Take the free block that fits best off its list, each as long as it could grow."""
        best = None
        for block in pool.free.at_least(size_bytes):
            if best is not None and _growable_bytes(block) >= _growable_bytes(best):
                break
            best = block
        if best is not None:
            pool.free.remove(best)
        return best

    def grow(self, pool: Pool, size_bytes: int) -> Block | None:
        """Map pages at the lowest address where the size fits; the block is on no list yet."""
        block = self._lowest_room(pool, size_bytes)
        if not block.mapped and not self._map(block, min(block.size_bytes, size_bytes)):
            return None
        while block.size_bytes < size_bytes:
            following = block.after
            assert following is not None
            missing = size_bytes - block.size_bytes
            if not self._map(following, min(missing, following.size_bytes)):
                return None
            block = following
        pool.free.remove(block)
        return block

    def least_remainder_bytes(self, pool: Pool) -> int:
        """Return from which size on what is left of a block is worth keeping apart."""
        return MIN_BLOCK_BYTES

    def releasable_bytes(self, pool: Pool) -> int:
        """Return the bytes of pages on which nothing is in use."""
        pages = (_whole_pages(block) for block in pool.free.at_least(pool.page_bytes))
        return sum(max(end - start, 0) for start, end in pages)

    def release(self, pool: Pool) -> None:
        """Unmap pages on which nothing is in use; give up addresses with nothing mapped."""
        for block in list(pool.free):
            unmapped = self._unmap(block)
            if unmapped is not None and unmapped.is_whole_segment:
                pool.unmapped.remove(unmapped)

    def _lowest_room(self, pool: Pool, size_bytes: int) -> Block:
        for unmapped in sorted(pool.unmapped, key=lambda block: block.address):
            before = unmapped.before
            start = before if before is not None and not before.allocated else unmapped
            if _free_run_bytes(start, size_bytes) >= size_bytes:
                return start
        return self._reserve_addresses(pool)

    def _reserve_addresses(self, pool: Pool) -> Block:
        capacity = self._device.capacity_bytes
        wanted = _UNLIMITED_ADDRESS_SPACE if capacity is None else capacity + capacity // 8
        total = round_up(max(wanted, 1), pool.page_bytes)
        address = self._device.address_space(total)
        block = Block(pool, address, total, mapped=False, origin=address)
        pool.unmapped.add(block)
        return block

    def _map(self, block: Block, size_bytes: int) -> bool:
        total = round_up(size_bytes, block.pool.page_bytes)
        if not self._device.take(total):
            return False
        block.pool.unmapped.remove(block)
        if total < block.size_bytes:
            block.pool.unmapped.add(block.cut(total))
        block.mapped = True
        block.absorb_neighbours()
        block.pool.free.add(block)
        return True

    def _unmap(self, block: Block) -> Block | None:
        pool = block.pool
        start, end = _whole_pages(block)
        if start >= end:
            return None
        pool.free.remove(block)
        head = start - block.address
        pages = block if head == 0 else block.cut(head)
        if pages is not block:
            pool.free.add(block)
        if pages.size_bytes > end - start:
            pool.free.add(pages.cut(end - start))
        self._device.give_back(end - start)
        pages.mapped = False
        pages.absorb_neighbours()
        pool.unmapped.add(pages)
        return pages


def _whole_pages(block: Block) -> tuple[int, int]:
    """Return where the pages begin and end that lie within a block as a whole."""
    page, origin = block.pool.page_bytes, block.origin
    assert origin is not None
    start = round_up(block.address - origin, page)
    end = (block.address + block.size_bytes - origin) // page * page
    return origin + start, origin + end


def _growable_bytes(block: Block) -> int:
    after = block.after
    return block.size_bytes + (after.size_bytes if after is not None and not after.mapped else 0)


def _free_run_bytes(block: Block | None, enough_bytes: int) -> int:
    total = 0
    while total < enough_bytes and block is not None and not block.allocated:
        total += block.size_bytes
        block = block.after
    return total
