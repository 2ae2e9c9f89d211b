"""How the blocks of a training grow with the batch, from two simulations that are not on one line.

Between a small batch and a large one another kernel may begin, as an embedding's backward pass
sorts from some number of indices on. Then the traces differ by a few blocks, and are no family
(`memorymark.simulator.families`). All other blocks are found again by what made them, and grow by
whole bytes a sample. A trace that is resized so lacks the few blocks of the other kernel: whoever
asks whether it fits keeps their bytes free (`missing_bytes`), and takes no answer that hangs on
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from memorymark.memory.trace import OPTIMIZER, Block
from memorymark.simulator.families import first_steps, with_block_sizes
from memorymark.simulator.simulate import SimulatedSteps

_Key = tuple[Any, ...]
_SMALLEST = 512  # bytes: what the allocator rounds up to


class Growth:
    """What each block of a training grows by with every sample.

    Args:
        batch_size: A batch that was simulated.
        steps: Its simulation.
        other_batch_size: Another, larger one.
        other_steps: Its simulation.

    Attributes:
        missing_bytes: Bytes of the blocks that only the larger batch has.
    """

    def __init__(
        self,
        batch_size: int,
        steps: SimulatedSteps,
        other_batch_size: int,
        other_steps: SimulatedSteps,
    ) -> None:
        self._batch_size = batch_size
        self._sizes = {key: block.size_bytes for key, block in _keyed(steps)}
        more = other_batch_size - batch_size
        others = dict(_keyed(other_steps))
        self.missing_bytes = sum(
            block.size_bytes for key, block in others.items() if key not in self._sizes
        )
        self._slopes = {
            key: (others[key].size_bytes - size) / more
            for key, size in self._sizes.items()
            if key in others
        }

    def line_of(self, steps: SimulatedSteps) -> Line | None:
        """Return how the blocks of a simulation of the smaller batch grow.

        It may be one of another training, which differs by its optimizer's step alone. None where
        it differs by more.
        """
        slopes = []
        for key, block in _keyed(steps):
            if self._sizes.get(key) == block.size_bytes:
                slopes.append(self._slopes.get(key, 0.0))
            elif _is_fixed(block):
                slopes.append(0.0)
            else:
                return None
        return Line(self._batch_size, steps, slopes, self.missing_bytes)


class Line:
    """The blocks of one training over the batch.

    Args:
        batch_size: The batch of the simulation.
        steps: The simulation.
        slopes: Bytes a sample of each block of its first steps.
        missing_bytes: Bytes of blocks that only larger batches have.
    """

    def __init__(
        self, batch_size: int, steps: SimulatedSteps, slopes: list[float], missing_bytes: int
    ) -> None:
        self._batch_size, self._steps = batch_size, steps
        self._sizes = [block.size_bytes for block in first_steps(steps.trace).blocks]
        self._slopes, self.missing_bytes = slopes, missing_bytes

    def at(self, batch_size: int) -> SimulatedSteps | None:
        """Return what the simulation comes to at another batch size; None where it cannot be."""
        more = batch_size - self._batch_size
        pairs = zip(self._sizes, self._slopes, strict=True)
        sizes = [size + round(slope * more) for size, slope in pairs]
        return with_block_sizes(self._steps, sizes) if min(sizes, default=1) > 0 else None


def _is_fixed(block: Block) -> bool:
    """Whether a block has nothing to do with the batch, or is too small to tell."""
    of_model = block.phase == OPTIMIZER or block.category is not None
    return of_model or block.size_bytes <= _SMALLEST


def _keyed(steps: SimulatedSteps) -> Iterator[tuple[_Key, Block]]:
    """Yield the blocks with what made each, and its number among those that the same made."""
    met: Counter[_Key] = Counter()
    for block in first_steps(steps.trace).blocks:
        made_by = block.phase, block.path, block.operation, block.category, block.owner
        met[made_by] += 1
        yield (*made_by, met[made_by]), block
