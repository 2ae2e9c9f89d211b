"""Repeats what one simulated session does for all that come after it.

Sessions are alike: each allocates and releases the same blocks in the same order. The first one
also allocates what is there once for all, such as cuBLAS's workspace. So the first two run, and
what the second allocated and released in each of its acts is written down again for the others.

Of the tokens after the first, small blocks that live within one act are left out there: they come
from a pool of their own, where the prompt has left room for them. What they add to the peak of live
bytes is kept.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from memorymark.inference.caches import Slot
from memorymark.inference.host_store import HostStore
from memorymark.inference.turns import State, Turns
from memorymark.simulator.act_works import ActWorks, Done
from memorymark.simulator.allocator.blocks import SMALL_REQUEST_BYTES
from memorymark.simulator.device import SimulatedDevice


class Lent:
    """A block that no tensor holds; it is released with this object.

    Attributes:
        nbytes: What goes over the link where it is moved: a tensor may be a part of its storage.
        block_bytes: Its size.
        like: Number of the block that it is like.
    """

    def __init__(self, device: SimulatedDevice, like: int, nbytes: int) -> None:
        block = device.trace.blocks[like]
        self.like, self.nbytes, self.block_bytes = like, nbytes, nbytes
        self._release = device.borrow(nbytes, block.category, block.operation)

    def __del__(self) -> None:
        self._release()


class RepeatedState:
    """What a session holds that is written down after another: blocks by those they are like.

    Attributes:
        is_paused: Whether it waits inside the model.
        acts: How many acts were written down.
        held: Its blocks.
        named: Those of them that are moved when it makes room for others.
    """

    def __init__(self, is_paused: bool) -> None:
        self.is_paused = is_paused
        self.acts = 0
        self.held: dict[int, Lent] = {}
        self.named: list[int] = []

    def slots(self) -> list[Slot]:
        """Return the places of all that is moved when it makes room for others."""
        return [Slot(self.held, like) for like in self.named]

    def held_bytes(self) -> int:
        """Return the bytes of the blocks that are moved so."""
        return sum(self.held[like].block_bytes for like in set(self.named))


class _Act(NamedTuple):
    """What the session that is repeated did: its blocks by their first numbers.

    Attributes:
        events: What it allocated and released, but small blocks that lived within it.
        rise_bytes: The most by which live bytes rose above those at its beginning.
        done: What its operations do.
        named: What it held at its end, and the bytes of each that are moved.
    """

    events: list[tuple[int, int]]
    rise_bytes: int
    done: Done
    named: dict[int, int]


class RepeatedTurns:
    """Runs the first two sessions and repeats the second.

    Args:
        turns: Runs sessions.
        device: Follows their storages.
        store: The host's memory beside it.
        works: Keeps what each act did.
    """

    def __init__(
        self, turns: Turns, device: SimulatedDevice, store: ShapeStore, works: ActWorks
    ) -> None:
        self._turns, self._device, self._store, self._works = turns, device, store, works
        # Who begins a session may let go of it, where it found no room: the next one runs then.
        self._first: Callable[[], State | None] = _nobody
        self._pattern: Callable[[], State | None] = _nobody
        self._begins_paused = False
        self._acts: list[_Act] = []

    def begin(self) -> State:
        """Begin a session: run it, or repeat the beginning of the second."""
        pattern = self._pattern()
        if pattern is not None:
            repeated = RepeatedState(self._begins_paused)
            self._repeat(repeated)
            return repeated
        before = self._position()
        state = self._turns.begin()
        if self._first() is None:
            self._first = weakref.ref(state)
        else:
            self._pattern, self._begins_paused = weakref.ref(state), state.is_paused
            self._acts = [self._act_since(before, state, whole=True)]
        return state

    def resume(self, state: State) -> None:
        """Go on from a pause."""
        self._go_on(state, self._turns.resume, whole=True)
        if isinstance(state, RepeatedState):
            state.is_paused = False

    def decode(self, state: State) -> None:
        """Generate the next token."""
        self._go_on(state, self._turns.decode, whole=False)

    def _go_on(self, state: State, work: Callable[[State], None], *, whole: bool) -> None:
        if isinstance(state, RepeatedState):
            self._repeat(state)
            return
        before = self._position()
        work(state)
        if state is self._pattern():
            self._acts.append(self._act_since(before, state, whole=whole))

    def _position(self) -> tuple[int, int]:
        return len(self._device.trace.events), self._device.live_bytes

    def _act_since(self, before: tuple[int, int], state: State, *, whole: bool) -> _Act:
        device, name_of = self._device, self._store.name_of
        since, live_bytes = before
        held = [(device.block_of(slot.tensor), slot.tensor.nbytes) for slot in state.slots()]
        events = [(name_of(number), size) for number, size in device.trace.events[since:]]
        return _Act(
            events if whole else _without_small_ones(events),
            device.peak_bytes - live_bytes,
            self._works.current,
            {name_of(number): size for number, size in held if number is not None},
        )

    def _repeat(self, state: RepeatedState) -> None:
        act, device = self._acts[state.acts], self._device
        device.count_operation()
        state.acts += 1
        peak_bytes = device.live_bytes + act.rise_bytes
        for like, size_bytes in act.events:
            if size_bytes > 0:
                state.held[like] = Lent(device, like, size_bytes)
            else:
                state.held.pop(like, None)
        state.named = list(act.named)
        for like, size_bytes in act.named.items():
            state.held[like].nbytes = size_bytes
        device.peak_bytes = max(device.peak_bytes, peak_bytes)
        self._works.current = act.done


def _nobody() -> None:
    """Return no session: none has begun."""


def _without_small_ones(events: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leave out small blocks that are allocated and released here."""
    begun = {number for number, size in events if 0 < size <= SMALL_REQUEST_BYTES}
    within = {number for number, size in events if size < 0 and number in begun}
    return [event for event in events if event[0] not in within]


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
        number = self._device.block_of(held)
        if number is None:
            return held  # a counter that a cache keeps on the host
        return held.shape, held.dtype, self.name_of(number)

    def _made(self, item: Any) -> Any:
        if isinstance(item, torch.Tensor):
            return item
        if len(item) == 2:
            return Lent(self._device, *item)
        shape, dtype, name = item
        tensor = torch.empty(shape, dtype=dtype, device="meta")
        number = self._device.block_of(tensor)
        if number is not None:
            self._names[number] = name
        return tensor
