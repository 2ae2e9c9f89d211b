"""Repeats what one simulated session does for all that come after it.

Sessions are alike: each allocates and releases the same blocks in the same order. The first one
also allocates what is there once for all, such as cuBLAS's workspace. So the first two run, and
what the second allocated and released in each of its acts is written down again for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from memorymark.inference.caches import Slot
from memorymark.inference.host_store import HostStore
from memorymark.inference.turns import State, Turns
from memorymark.simulator.device import SimulatedDevice

_RUN = 2


class Lent:
    """A block that no tensor holds; it is released with this object.

    Attributes:
        nbytes: Its size.
        like: Number of the block that it is like.
    """

    def __init__(self, device: SimulatedDevice, like: int, nbytes: int) -> None:
        block = device.trace.blocks[like]
        self.like, self.nbytes = like, nbytes
        self._release = device.borrow(nbytes, block.category, block.operation)

    def __del__(self) -> None:
        self._release()


class RepeatedState:
    """What a session holds that is written down after another: blocks by those they are like."""

    def __init__(self, is_paused: bool) -> None:
        self.is_paused = is_paused
        self.acts = 0
        self.held: dict[int, Lent] = {}

    def slots(self) -> list[Slot]:
        """Return the places of all that it holds."""
        return [Slot(self.held, like) for like in self.held]


class RepeatedTurns:
    """Runs the first two sessions and repeats the second.

    Args:
        turns: Runs sessions.
        device: Follows their storages.
        store: The host's memory beside it.
    """

    def __init__(self, turns: Turns, device: SimulatedDevice, store: ShapeStore) -> None:
        self._turns, self._device, self._store = turns, device, store
        self._begun = 0
        self._pattern: State | None = None
        self._acts: list[tuple[list[tuple[int, int]], slice]] = []

    def begin(self) -> State:
        """Begin a session: run it, or repeat the beginning of the second."""
        self._begun += 1
        if self._begun > _RUN:
            assert self._pattern is not None
            state = RepeatedState(self._pattern.is_paused)
            self._repeat(state)
            return state
        found: list[State] = []
        act = self._noted(lambda: found.append(self._turns.begin()))
        if self._begun == _RUN:
            self._pattern, self._acts = found[0], [act]
        return found[0]

    def resume(self, state: State) -> None:
        """Go on from a pause."""
        self._go_on(state, self._turns.resume)
        if isinstance(state, RepeatedState):
            state.is_paused = False

    def decode(self, state: State) -> None:
        """Generate the next token."""
        self._go_on(state, self._turns.decode)

    def _go_on(self, state: State, work: Callable[[State], None]) -> None:
        if isinstance(state, RepeatedState):
            self._repeat(state)
            return
        act = self._noted(lambda: work(state))
        if state is self._pattern:
            self._acts.append(act)

    def _noted(self, work: Callable[[], None]) -> tuple[list[tuple[int, int]], slice]:
        """Run an act; return its allocations and releases, and where its operations stand."""
        device = self._device
        events, works = len(device.trace.events), len(device.works)
        work()
        named = [(self._store.name_of(i), size) for i, size in device.trace.events[events:]]
        return named, slice(works, len(device.works))

    def _repeat(self, state: RepeatedState) -> None:
        events, works = self._acts[state.acts]
        state.acts += 1
        for like, size_bytes in events:
            if size_bytes > 0:
                state.held[like] = Lent(self._device, like, size_bytes)
            else:
                state.held.pop(like, None)
        self._device.works.extend(self._device.works[works])


class ShapeStore(HostStore):
    """The host's memory beside a simulated device: shapes in the place of what they hold.

    A block that comes back from the host is another block; it is known by its first number.

    Args:
        device: Follows the storages.
        capacity_bytes: What may lie in it at most.
    """

    def __init__(self, device: SimulatedDevice, capacity_bytes: int | None = None) -> None:
        super().__init__(capacity_bytes)
        self._device = device
        self._names: dict[int, int] = {}

    def name_of(self, block_id: int) -> int:
        """Return a block's first number."""
        return self._names.get(block_id, block_id)

    def _out(self, tensors: Sequence[Any]) -> tuple[list[Any], None]:
        return [self._kept(each) for each in tensors], None

    def _back(self, items: Sequence[Any]) -> tuple[list[Any], None]:
        return [self._made(item) for item in items], None

    def _kept(self, held: Any) -> Any:
        if isinstance(held, Lent):
            return held.like, held.nbytes
        return held.shape, held.dtype, self.name_of(self._device.block_of(held))

    def _made(self, item: Any) -> Any:
        if len(item) == 2:
            return Lent(self._device, *item)
        shape, dtype, name = item
        tensor = torch.empty(shape, dtype=dtype, device="meta")
        self._names[self._device.block_of(tensor)] = name
        return tensor
