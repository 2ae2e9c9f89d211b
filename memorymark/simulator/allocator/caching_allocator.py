"""PyTorch's CUDA caching allocator, played through in pure Python.

The rules are those of c10/cuda/CUDACachingAllocator.cpp in PyTorch (read at commit
001074d25084fdb87a799823e395a50f5ec044d3; the constants are unchanged in the headers of torch
2.15, c10/core/AllocatorConfig.h), with the allocator's default settings and one stream.

Sizes. A request is rounded up to 512 B (`roundup_power2_divisions` is off). Up to 1 MiB it goes
to the small pool, above to the large pool; the pools share nothing.

Finding. The smallest free block that is large enough, at equal size the one with the lowest
address. No block is too large for it: `max_split_size` is unlimited.

Splitting. What is left of the block becomes a free block where it is at least 512 B in the small
pool, more than 1 MiB in the large pool, or at least 512 B in either with expandable segments.
Otherwise it stays with the allocation, and `allocated_bytes` counts it.

Growing. Without a fitting block a segment is taken from the device: 2 MiB for the small pool,
20 MiB for requests under 10 MiB, the request rounded up to 2 MiB from there on.

Freeing. A freed block merges with the free neighbours in its segment and stays cached.

At the capacity. Where the device has too little left, all segments without a block in use go
back, then the request is tried once more (`retries` counts these); only then it is out of memory.
Parts of a segment never go back. Garbage collection by threshold is off.

Expandable segments (off by default; `expandable_segments:True` in PYTORCH_ALLOC_CONF). Each pool
has one stretch of addresses, 1 1/8 of the capacity long, backed by pages of 2 MiB (small) or 20
MiB (large) where needed. It grows at the lowest address where the request fits, a free block
before the unmapped part included. In the search for the best fit, a block counts as long as it
could grow. At the capacity every page on which nothing is in use is unmapped.

Accounting as in `torch.cuda.memory_stats`: allocated bytes are sizes of blocks, reserved bytes
what is taken from the device.

What is simpler than the original: the driver's choice of addresses is not published, and it
decides between free blocks of one size. Segments lie scattered here, in a fixed order: peaks of
measured runs agree with that, and not with addresses that only rise or only fall. Blocks used
on several streams, private pools of CUDA graphs, and other users of the device's memory are not
modelled. The capacity is where the device ends; under `set_per_process_memory_fraction` PyTorch
also refuses to map a page of an expandable segment where a whole new segment for the request
would pass the limit.
"""

from __future__ import annotations

from memorymark.errors import InvalidValue, OutOfMemory
from memorymark.simulator.allocator.blocks import (
    SMALL_REQUEST_BYTES,
    Block,
    BlockList,
    Pool,
    round_request,
    segment_bytes,
)
from memorymark.simulator.allocator.segments import Device, ExpandableSegments, FixedSegments


class CachingAllocator:
    """Simulate PyTorch's caching allocator on one device and one stream.

    Args:
        capacity_bytes: What cudaMalloc hands out in all, the CUDA context not included; None is
            without limit. Reserved bytes never exceed it.
        expandable_segments: Whether segments grow page by page.

    Example:
        >>> allocator = CachingAllocator()
        >>> handle = allocator.allocate(3_000_000)
        >>> allocator.allocated_bytes, allocator.reserved_bytes
        (3000320, 20971520)
    """

    def __init__(
        self, capacity_bytes: int | None = None, *, expandable_segments: bool = False
    ) -> None:
        if capacity_bytes is not None and capacity_bytes < 0:
            raise InvalidValue("capacity in bytes", capacity_bytes, "zero or more, or None")
        self._device = Device(capacity_bytes)
        kind = ExpandableSegments if expandable_segments else FixedSegments
        self._segments = kind(self._device)
        self._pools = Pool(is_small=True), Pool(is_small=False)
        self._small, self._large = (
            (pool, self._segments.least_remainder_bytes(pool)) for pool in self._pools
        )
        self._live: dict[int, Block] = {}
        self._next_handle = 0
        self.retries = 0
        self.allocated_bytes = 0
        self.peak_allocated_bytes = 0

    @property
    def capacity_bytes(self) -> int | None:
        """What the device hands out in all."""
        return self._device.capacity_bytes

    @property
    def reserved_bytes(self) -> int:
        """What is taken from the device, in use or cached."""
        return self._device.taken_bytes

    @property
    def peak_reserved_bytes(self) -> int:
        """The most that was taken from the device."""
        return self._device.peak_taken_bytes

    def allocate(self, size_bytes: int) -> int:
        """Allocate memory and return a handle for `free`.

        Raises:
            OutOfMemory: The device has no room, even after the cache was given back.
            InvalidValue: The size is not above zero.
        """
        if size_bytes <= 0:
            raise InvalidValue("size of an allocation", size_bytes, "a number of bytes above zero")
        block = self.take(round_request(size_bytes))
        if block is None:
            raise OutOfMemory(size_bytes, self.allocated_bytes, self.capacity_bytes or 0)
        self._next_handle += 1
        self._live[self._next_handle] = block
        return self._next_handle

    def free(self, handle: int) -> None:
        """Put the memory of a handle back into the cache.

        Raises:
            KeyError: The handle is not in use.
        """
        self.put_back(self._live.pop(handle))

    def take(self, rounded_bytes: int) -> Block | None:
        """Take a block for a rounded request into use; None where the device has no room.

        A replay spends its time here and in `put_back`: few calls, no more than is needed.
        """
        is_small = rounded_bytes <= SMALL_REQUEST_BYTES
        pool, least_remainder = self._small if is_small else self._large
        block = self._segments.best_fit(pool, rounded_bytes)
        if block is None:
            block = self._grow(pool, rounded_bytes)
            if block is None:
                return None
        if block.size_bytes - rounded_bytes >= least_remainder:
            pool.free.add(block.cut(rounded_bytes))
        block.allocated = True
        self.allocated_bytes = allocated = self.allocated_bytes + block.size_bytes
        if allocated > self.peak_allocated_bytes:
            self.peak_allocated_bytes = allocated
        return block

    def put_back(self, block: Block) -> None:
        """Put a block that was taken back into the cache."""
        self.allocated_bytes -= block.size_bytes
        block.allocated = False
        before, after = block.before, block.after
        if not ((before is None or before.allocated) and (after is None or after.allocated)):
            block.absorb_neighbours()
        block.pool.free.add(block)

    def empty_cache(self) -> None:
        """Give everything back to the device that holds nothing in use."""
        for pool in reversed(self._pools):
            self._segments.release(pool)

    def releasable_bytes(self) -> int:
        """Return what `empty_cache` would give back to the device."""
        return sum(self._segments.releasable_bytes(pool) for pool in self._pools)

    def capacity_for(self, rounded_bytes: int) -> int:
        """Return a capacity at which a segment for a rounded request could be taken now."""
        return self.reserved_bytes + segment_bytes(rounded_bytes)

    def enlarge(self, capacity_bytes: int) -> None:
        """Let the device hand out more from here on."""
        self._device.capacity_bytes = capacity_bytes

    def close(self) -> None:
        """Let go of the blocks that are not in use; nothing more can be taken.

        Neighbours hold one another, and would wait for Python's collector.
        """
        for pool in self._pools:
            for block in (*pool.free, *pool.unmapped):
                block.before = block.after = None
            pool.free, pool.unmapped = BlockList(), BlockList()

    def _grow(self, pool: Pool, size_bytes: int) -> Block | None:
        """Take from the device; where it has no room, give back the cache and try once more."""
        block = self._segments.grow(pool, size_bytes)
        if block is None:
            self.retries += 1
            self.empty_cache()
            block = self._segments.grow(pool, size_bytes)
        return block
