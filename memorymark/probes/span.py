"""Which batches of a training fit, from as few simulations as that takes.

Two simulations, of a small batch and of one near the answer, tell of all between them: exactly,
where both are on one line (`memorymark.simulator.families`), else but for the few blocks of another
kernel (`memorymark.simulator.growth`). A training that differs from another one by its optimizer's
step alone grows as that one does, and takes one simulation.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager

from memorymark.errors import UnsupportedOperation
from memorymark.memory.breakdown import breakdown_at, peak_position
from memorymark.probes.common import new_trial
from memorymark.records.held_memory import Breakdown
from memorymark.records.trial import Outcome, Target, Trial
from memorymark.simulator.allocator.environment import asked_for
from memorymark.simulator.allocator.replay import replay
from memorymark.simulator.families import BatchSizes
from memorymark.simulator.growth import Growth
from memorymark.simulator.reserved_range import base_events
from memorymark.simulator.simulate import SimulatedSteps
from memorymark.workloads.trial_spec import TrialSpec

# So far beyond the largest simulated batch, as a share of it, growth is followed.
_BEYOND = 1.15


class Span:
    """Simulations of one training on one card, and what follows from them.

    Args:
        target: The simulated card.
        spec: The training, at the batch that is simulated first.
        simulate: Simulates it at a batch size.
        seconds: Estimates the seconds of its step.

    Attributes:
        steps: The simulation of the spec's own batch.
        growth: How its blocks grow, once a second batch was simulated.
    """

    def __init__(
        self,
        target: Target,
        spec: TrialSpec,
        simulate: Callable[[int], SimulatedSteps],
        seconds: Callable[[SimulatedSteps], float],
    ) -> None:
        self._target, self._spec = target, spec
        self._simulate, self._seconds = simulate, seconds
        self._kept, self._line = BatchSizes(), None
        self.growth: Growth | None = None
        self.steps = simulate(spec.batch_size)
        self._kept.add(spec.batch_size, self.steps)
        self._reach = 0

    @property
    def step_seconds(self) -> float:
        """Seconds of a step at the spec's own batch, were there room for it."""
        return self._seconds(self.steps)

    @property
    def simulated_to(self) -> int:
        """The largest batch that was simulated."""
        return max(self._kept.simulated)

    @property
    def reach(self) -> int:
        """The largest batch up to which `follow` is to be trusted; 0 where it knows nothing."""
        return int(self._reach * _BEYOND)

    def alike(self, spec: TrialSpec, seconds: Callable[[SimulatedSteps], float]) -> Span:
        """Return the span of another training whose steps are the same but for their seconds."""
        other = copy.copy(self)
        other._spec, other._seconds = spec, seconds
        return other

    def grow_as(self, growth: Growth, reach: int) -> bool:
        """Take the growth of another training; return whether this one's blocks are found in it.

        Args:
            growth: The growth.
            reach: The largest batch that was simulated for it.
        """
        self._line = growth.line_of(self.steps)
        self._reach = 0 if self._line is None else reach
        return self._line is not None

    def trial_at(self, batch_size: int) -> Trial:
        """Simulate a batch, or return what was simulated, with what its tensors held.

        Raises:
            MemoryMarkError: It cannot be simulated.
        """
        kept, own = self._kept, self._spec.batch_size
        if batch_size not in kept.simulated:
            steps = self._simulate(batch_size)
            kept.add(batch_size, steps)
            self.growth = Growth(own, self.steps, batch_size, steps)
            self.grow_as(self.growth, max(kept.simulated))
        steps = kept.simulated[batch_size]
        held = breakdown_at(steps.trace, peak_position(steps.trace))
        with self._asked():
            return self._trial(batch_size, steps, self._fits(steps), held.breakdown)

    def follow(self, batch_size: int) -> Trial:
        """Return whether a batch would fit, and what its tensors would hold.

        Raises:
            UnsupportedOperation: That does not follow from the batches that were simulated.
        """
        with self._asked():
            steps = self._kept.simulated.get(batch_size) or self._kept.between(batch_size)
            if steps is not None:
                return self._trial(batch_size, steps, self._fits(steps))
            steps = None if self._line is None else self._line.at(batch_size)
            if steps is not None and self._line is not None:
                fits = self._fits(steps)
                if fits == self._fits(steps, self._line.missing_bytes):
                    return self._trial(batch_size, steps, fits)
        raise UnsupportedOperation(f"Batch {batch_size} does not follow from those simulated.")

    def _asked(self) -> AbstractContextManager[None]:
        return asked_for(self._spec.config.expandable_segments)

    def _trial(
        self, batch_size: int, steps: SimulatedSteps, fits: bool, held: Breakdown | None = None
    ) -> Trial:
        return new_trial(
            self._target,
            dataclasses.replace(self._spec, batch_size=batch_size),
            Outcome.OK if fits else Outcome.OOM,
            peak_allocated_bytes=steps.free_running.peak_allocated_bytes,
            breakdown=held,
        )

    def _fits(self, steps: SimulatedSteps, kept_free_bytes: int = 0) -> bool:
        """Say whether steps fit with some bytes kept free; by the rule of a whole trial."""
        capacity = self._target.capacity_bytes
        if capacity is None:
            return True
        capacity -= kept_free_bytes
        benchmark, free = self._spec.config.cudnn_benchmark, steps.free_running
        events = base_events(steps.trace, steps.convolutions, benchmark=benchmark)
        if benchmark:
            free = replay(events)
        if free.peak_reserved_bytes <= capacity:
            return True
        return free.peak_allocated_bytes <= capacity and replay(events, capacity).fits
