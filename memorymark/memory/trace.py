"""The record of a run: every allocation and release, in order, and who made it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Block:
    """One storage, from its allocation on.

    Attributes:
        size_bytes: Bytes as requested.
        phase: Phase of the step in which it was allocated.
        path: Path of the module whose forward made it, "" outside of any.
        operation: The operation that made it, or its name.
        category: What it is for, where that is known for certain; None otherwise.
        owner: Name of the parameter or the like that it belongs to, where it has one.
    """

    size_bytes: int
    phase: str
    path: str
    operation: object
    category: str | None = None
    owner: str | None = None


@dataclass(slots=True)
class Trace:
    """Allocations and releases in the order in which they happened.

    Attributes:
        blocks: Every block, by its id.
        events: (block id, +bytes) for an allocation, (block id, -bytes) for its release.
        marks: (phase, number of events before it) for each phase of each step.
    """

    blocks: list[Block] = field(default_factory=list)
    events: list[tuple[int, int]] = field(default_factory=list)
    marks: list[tuple[str, int]] = field(default_factory=list)

    def allocate(self, block: Block) -> int:
        """Record an allocation and return the block's id."""
        block_id = len(self.blocks)
        self.blocks.append(block)
        self.events.append((block_id, block.size_bytes))
        return block_id

    def release(self, block_id: int) -> int:
        """Record the release of a block and return its bytes."""
        size_bytes = self.blocks[block_id].size_bytes
        self.events.append((block_id, -size_bytes))
        return size_bytes

    def mark(self, phase: str) -> None:
        """Record that a phase begins."""
        self.marks.append((phase, len(self.events)))

    def last_step(self) -> int:
        """Return the number of events before the last step."""
        starts = [position for phase, position in self.marks if phase == STEP]
        return starts[-1] if starts else 0


SETUP = "setup"
STEP = "step"
FORWARD = "forward"
FORWARD_END = "forward-end"  # of a step that has no backward pass
BACKWARD = "backward"
OPTIMIZER = "optimizer"
STEP_END = "step-end"
