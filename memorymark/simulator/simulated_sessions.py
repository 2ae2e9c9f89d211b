"""A simulated device, as sessions that take turns see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from memorymark.inference.sessions import Reading
from memorymark.records.session_run import Act
from memorymark.simulator.allocator.replay import Replay
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.repeated_turns import ShapeStore


@dataclass(frozen=True)
class Stretch:
    """Where an act stands in a simulation.

    Attributes:
        events: Numbers of its allocations and releases in the trace.
        works: Numbers of its operations.
    """

    events: slice
    works: slice


class SimulatedPlace:
    """A simulated device, as sessions see it.

    Args:
        device: Follows the storages.
        capacity_bytes: What may be used of it.
        host_bytes: The host's memory.

    Attributes:
        stretches: Where each act stands, in their order.
    """

    def __init__(
        self, device: SimulatedDevice, capacity_bytes: int | None, host_bytes: int | None = None
    ) -> None:
        self.store = ShapeStore(device, host_bytes)
        self.capacity_bytes = capacity_bytes
        self.stretches: list[Stretch] = []
        self._device = device
        self._replay = Replay(capacity_bytes)

    def allocated_bytes(self) -> int:
        """Return the bytes of live tensors."""
        return self._device.live_bytes

    def lost_bytes(self) -> int:
        """Return the most that the allocator held, less the most that blocks took of it."""
        played = self._replay.result()
        return played.peak_reserved_bytes - played.peak_allocated_bytes

    def run(self, act: Act, work: Callable[[], None]) -> Reading:
        """Do some work; its seconds and what the allocator holds are worked out later."""
        device = self._device
        device.reset_peak()
        events, works = len(device.trace.events), len(device.works)
        device.begin_phase(str(act))
        work()
        self.stretches.append(
            Stretch(slice(events, len(device.trace.events)), slice(works, len(device.works)))
        )
        self._replay.feed(device.trace.events)
        return Reading(
            None, None, device.live_bytes, device.peak_bytes, self._replay.reserved_bytes
        )
