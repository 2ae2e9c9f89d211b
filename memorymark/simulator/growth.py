"""How the blocks of a training grow with the batch, from two simulations that need not be alike.

Between a small batch and a large one another kernel may begin, as an embedding's backward pass
sorts from some number of indices on. Then the traces differ by a few blocks, and are no family
(`memorymark.simulator.families`). All other blocks are found again by what made them, and grow by
whole bytes a sample. Whoever asks whether a trace that was resized so fits must allow for the few
blocks of the other kernel (`Line.slack`), and take no answer that hangs on them.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from typing import Any

import numpy as np

from memorymark.memory.trace import OPTIMIZER, STEP
from memorymark.simulator.allocator.blocks import MIN_BLOCK_BYTES
from memorymark.simulator.families import first_steps, with_block_sizes
from memorymark.simulator.simulate import SimulatedSteps

_Key = tuple[Any, ...]


class Growth:
    """What each block of a training grows by with every sample.

    Args:
        batch_size: A batch that was simulated.
        steps: Its simulation.
        other_batch_size: Another, larger one.
        other_steps: Its simulation; its forward and backward pass are enough.
    """

    def __init__(
        self,
        batch_size: int,
        steps: SimulatedSteps,
        other_batch_size: int,
        other_steps: SimulatedSteps,
    ) -> None:
        self._batch_size, self.reach = batch_size, other_batch_size
        self._sizes, others = dict(_keyed(steps)), dict(_keyed(other_steps))
        # A step that was not run again is taken to be like the first, where its blocks are.
        runs, more = max((key[0] for key in others), default=1), other_batch_size - batch_size
        self._slopes = {}
        for key, size in self._sizes.items():
            run = (min(key[0], runs), *key[1:])
            if run in others and self._sizes.get(run) == size:
                self._slopes[key] = (others[run] - size) / more
        self._only_here = _bytes_of_others(self._sizes, self._slopes)
        self._only_there = _bytes_of_others(others, self._sizes)

    def line_of(self, steps: SimulatedSteps) -> Line | None:
        """Return how the blocks of a simulation of the smaller batch grow.

        It may be one of another training, which differs by its optimizer's step alone. None where
        it differs by more.
        """
        slopes = []
        for key, size in _keyed(steps):
            if self._sizes.get(key) == size:
                slopes.append(self._slopes.get(key, 0.0))
            elif _is_of_the_model(key) or size <= MIN_BLOCK_BYTES:
                slopes.append(0.0)
            else:
                return None
        more = self._only_there / self.reach
        return Line(self._batch_size, steps, slopes, self.reach, more, self._only_here)

    def line_from(self, other_steps: SimulatedSteps) -> Line:
        """Return how the blocks of the simulation of the larger batch grow.

        Those that the smaller one lacks are left as they are: they shrink and grow by no more
        than the batch does.
        """
        slopes = [self._slopes.get(key, 0.0) for key, _ in _keyed(other_steps)]
        return Line(self.reach, other_steps, slopes, self.reach, self._only_there / self.reach)


class Line:
    """The blocks of one training over the batch.

    Args:
        batch_size: The batch of the simulation.
        steps: The simulation.
        slopes: Bytes a sample of each block of its first steps.
        reach: The largest batch that was simulated for it.
        unsure: Bytes a sample, at the most, of blocks whose growth is not known; a simulation of
            a batch below the reach has none of them.
        only_here: Bytes of its blocks that other batches may do without, or have more of.
    """

    def __init__(
        self,
        batch_size: int,
        steps: SimulatedSteps,
        slopes: list[float],
        reach: int,
        unsure: float = 0.0,
        only_here: int = 0,
    ) -> None:
        trace = first_steps(steps.trace)
        self._steps = dataclasses.replace(steps, trace=trace)
        self.batch_size, self.reach = batch_size, reach
        self._sizes = np.array([block.size_bytes for block in trace.blocks], dtype=np.int64)
        self._slopes = np.array(slopes)
        self._numbers = [block_id for block_id, _ in trace.events]
        self._made_by = np.array(self._numbers, dtype=np.int64)
        self._signs = np.array([1 if size > 0 else -1 for _, size in trace.events], dtype=np.int64)
        self._unsure, self._only_here = unsure, only_here

    def at(self, batch_size: int) -> SimulatedSteps | None:
        """Return what the simulation comes to at another batch size; None where it cannot be."""
        sizes = self._sizes_at(batch_size)
        if sizes.min(initial=1) <= 0:
            return None
        signed = (sizes[self._made_by] * self._signs).tolist()
        events = list(zip(self._numbers, signed, strict=True))
        return with_block_sizes(self._steps, sizes.tolist(), events)

    def least_peak_bytes(self, batch_size: int) -> int:
        """Return the most bytes of blocks at a time, at a batch size, each rounded up.

        The allocator may take a little more: it leaves a remainder that is too small to a block.
        """
        taken = -(-self._sizes_at(batch_size) // MIN_BLOCK_BYTES) * MIN_BLOCK_BYTES
        return int(np.cumsum(taken[self._made_by] * self._signs).max(initial=0))

    def slack(self, batch_size: int) -> tuple[int, int]:
        """Return by how many bytes too few, and too many, the blocks at a batch size may be."""
        if self.batch_size < self.reach:
            grown = self._only_here * max(batch_size / self.batch_size - 1, 0)
            return int(self._unsure * max(batch_size, self.reach) + grown), self._only_here
        apart = int(self._unsure * abs(batch_size - self.batch_size))
        return (apart, 0) if batch_size > self.batch_size else (0, apart)

    def _sizes_at(self, batch_size: int) -> np.ndarray:
        grown = np.rint(self._slopes * (batch_size - self.batch_size))
        return self._sizes + grown.astype(np.int64)


def _bytes_of_others(sizes: Mapping[_Key, int], others: Container[_Key]) -> int:
    return sum(
        size
        for key, size in sizes.items()
        if key not in others and not _is_of_the_model(key) and size > MIN_BLOCK_BYTES
    )


def _is_of_the_model(key: _Key) -> bool:
    """Whether a block has nothing to do with the batch."""
    _, phase, _, _, category, _, _ = key
    return phase == OPTIMIZER or category not in (None, "inputs")


def _keyed(steps: SimulatedSteps) -> Iterator[tuple[_Key, int]]:
    """Yield what made each block, and its bytes.

    What made it: the number of its step, what a `Block` says, and its number among those of the
    step of which that says the same.
    """
    met: Counter[_Key] = Counter()
    trace = first_steps(steps.trace)
    starts = [at for phase, at in trace.marks if phase == STEP]
    made = (at for at, (_, size) in enumerate(trace.events) if size > 0)
    for block, at in zip(trace.blocks, made, strict=True):
        by = block.phase, block.path, block.operation, block.category, block.owner
        maker = bisect_right(starts, at), *by
        met[maker] += 1
        yield (*maker, met[maker]), block.size_bytes
