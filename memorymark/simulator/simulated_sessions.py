"""Simulates sessions that take turns on a card: their own code, on tensors without data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn

from memorymark.bounds import new_meter
from memorymark.errors import OutOfMemory, quoted
from memorymark.inference.older_transformers import step_of
from memorymark.inference.places import spare_in_pages
from memorymark.inference.sessions import Sessions
from memorymark.inference.turns import ModelTurns
from memorymark.memory.trace import Trace
from memorymark.placement.collector import collector_off
from memorymark.records.session_run import Act, OnSessionEvent, Reading, unheard
from memorymark.simulator.act_works import ActWorks
from memorymark.simulator.allocator.replay import Replay, ReplayResult
from memorymark.simulator.any_token import any_token
from memorymark.simulator.cuda import replacements  # noqa: F401  (registers CUDA's kernels)
from memorymark.simulator.cuda.rules import Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.repeated_turns import RepeatedTurns, ShapeStore
from memorymark.simulator.session import simulating
from memorymark.simulator.simulated_runtime import SimulatedRuntime
from memorymark.simulator.skipping_turns import SkippingTurns, tokens_of_a_step, tokens_to_run
from memorymark.simulator.tensors.shapes import ShapeCache
from memorymark.simulator.time.kernels import Work
from memorymark.workloads.serving_spec import ServingSpec

# The device counts what its timed step does; sessions have no steps, and all of it counts.
ALL_COUNT = 0


@dataclass(frozen=True)
class SimulatedSessions:
    """Sessions that were simulated.

    Attributes:
        sessions: What was done; its events have no seconds.
        works: What each operation of each event does, in the order of the events.
        trace: Every allocation and release.
        ended: What ended it early; None where it went to its end.
        weights_bytes: Bytes of the model.
        peak_allocated_bytes: Most bytes of live tensors.
        peak_reserved_bytes: Most bytes that the caching allocator held.
        assumptions: What was answered or allowed for, one sentence each.
    """

    sessions: Sessions
    works: list[list[Work]]
    trace: Trace
    ended: OutOfMemory | None
    weights_bytes: int
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    assumptions: tuple[str, ...]


def simulate_sessions(
    spec: ServingSpec,
    model: nn.Module,
    rules: Rules,
    capacity_bytes: int | None,
    host_bytes: int | None = None,
    on_event: OnSessionEvent = unheard,
) -> SimulatedSessions:
    """Let sessions take their turns on tensors without data.

    Args:
        spec: What generates, and how its sessions take turns.
        model: The workload's model without data, in eval mode.
        rules: The simulated device.
        capacity_bytes: What may be used of it.
        host_bytes: What may be used of the host's memory.
        on_event: Called with each event as it is done.

    Raises:
        UnsupportedOperation: An operation cannot be run without data.
        BoundReached: It takes too many operations, or too long.
    """
    meter = new_meter(f"The simulation of {quoted(spec.workload.name)}")
    runtime = SimulatedRuntime(rules)
    with simulating(rules) as session, collector_off():
        device = SimulatedDevice(session, ShapeCache(), ALL_COUNT, meter=meter, counts_all=True)
        place = SimulatedPlace(device, capacity_bytes, host_bytes)
        eager = dataclasses.replace(spec.config, compiled=False)  # nothing to compile without data
        turns = ModelTurns(
            step_of(model, eager, any_token(session)),
            lambda: spec.make_prompt(runtime.device),
            spec.plan.pause_layer,
            spec.steer,
        )
        skipping = SkippingTurns(
            turns, device, place.works, tokens_to_run(spec), tokens_of_a_step(spec)
        )
        repeated = RepeatedTurns(skipping, device, place.store, place.works)
        sessions = Sessions(repeated, spec.config, place, spec.plan, on_event)
        ended = None
        with device, runtime.settings(spec.built_as):
            device.add(model.named_parameters(), "parameters")
            device.add(model.named_buffers(), "temporaries")
            weights_bytes = device.live_bytes
            try:
                sessions.run()
            except OutOfMemory as error:
                ended = error
        device.stop()
        return place.result(sessions, ended, weights_bytes, session.assumptions)


class SimulatedPlace:
    """A simulated device, as sessions see it.

    What the caching allocator makes of the allocations is followed as they come.

    Args:
        device: Follows the storages.
        capacity_bytes: What may be used of it.
        host_bytes: What may be used of the host's memory.

    Attributes:
        works: Keeps what each act did.
    """

    def __init__(
        self, device: SimulatedDevice, capacity_bytes: int | None, host_bytes: int | None = None
    ) -> None:
        self.store = ShapeStore(device, host_bytes)
        self.works = ActWorks(device.works)
        self.capacity_bytes = capacity_bytes
        self._device = device
        self._replay = Replay(capacity_bytes)

    def allocated_bytes(self) -> int:
        """Return the bytes of live tensors."""
        return self._device.live_bytes

    def lost_bytes(self) -> int:
        """Return the most that the allocator held, less the most that blocks took of it."""
        played = self._replay.result()
        return played.peak_reserved_bytes - played.peak_allocated_bytes

    def taken_bytes(self) -> int:
        """Return what live tensors take, and what lies unused between them."""
        self._take_back()
        return self._replay.taken_bytes()

    def spare_bytes(self, sizes: Iterable[int], beside_bytes: int) -> int:
        """Return what is enough for a pass, whatever the allocator makes of it."""
        return spare_in_pages(sizes, beside_bytes)

    def run(self, act: Act, work: Callable[[], None]) -> Reading:
        """Do some work; its seconds are worked out later.

        Raises:
            OutOfMemory: The allocator would have found no room.
        """
        device = self._device
        self._take_back()
        device.reset_peak()
        device.begin_phase(str(act))
        self.works.begin()
        work()
        self._replay.feed(device.trace.events)
        failed_at = self._replay.result().failed_at
        if failed_at is not None:
            wanted = device.trace.events[failed_at][1]
            raise OutOfMemory(wanted, self._replay.reserved_bytes, self.capacity_bytes or 0)
        self.works.end()
        return Reading(
            allocated_bytes=device.live_bytes,
            peak_bytes=device.peak_bytes,
            reserved_bytes=self._replay.reserved_bytes,
        )

    def _take_back(self) -> None:
        """Undo an act that found no room: by now all that it made is let go of again."""
        if self._replay.result().failed_at is not None:
            self._replay.give_up(self._device.trace.events)

    def close(self) -> ReplayResult:
        """Let go of the allocator's blocks, and return what it came to."""
        self._replay.close()
        return self._replay.result()

    def result(
        self,
        sessions: Sessions,
        ended: OutOfMemory | None,
        weights_bytes: int,
        assumptions: tuple[str, ...],
    ) -> SimulatedSessions:
        """Return what was simulated, and let go of the allocator's blocks."""
        played = self.close()
        return SimulatedSessions(
            sessions,
            self.works.listed(),
            self._device.trace,
            ended,
            weights_bytes,
            played.peak_allocated_bytes,
            played.peak_reserved_bytes,
            assumptions,
        )
