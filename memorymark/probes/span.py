"""Which batches of a training fit, from as few simulations as that takes.

Two simulations, of a small batch and of one near the answer, tell of all between them
(`memorymark.simulator.growth`), but for the few blocks of another kernel: what hangs on those is
not told. A training that differs from another one by its optimizer's step alone grows as that one
does, and takes one simulation.
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
from memorymark.simulator.growth import Growth, Line
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
        simulate: Simulates it at a batch size: whole steps, or one forward and backward pass.
        seconds: Estimates the seconds of its step.

    Attributes:
        steps: The simulation of the spec's own batch.
        growth: How its blocks grow from its own batch on, once a larger one was simulated.
    """

    def __init__(
        self,
        target: Target,
        spec: TrialSpec,
        simulate: Callable[[int, bool], SimulatedSteps],
        seconds: Callable[[SimulatedSteps], float],
    ) -> None:
        self._target, self._spec = target, spec
        self._simulate, self._seconds = simulate, seconds
        self.growth: Growth | None = None
        self.steps = simulate(spec.batch_size, True)
        self._simulated = {spec.batch_size: self.steps}
        self._lines: list[Line] = []

    @property
    def step_seconds(self) -> float:
        """Seconds of a step at the spec's own batch, were there room for it."""
        return self._seconds(self.steps)

    @property
    def reach(self) -> int:
        """The largest batch up to which `follow` is to be trusted; 0 where it knows nothing."""
        return max((_trusted_to(line) for line in self._lines), default=0)

    def alike(self, spec: TrialSpec, seconds: Callable[[SimulatedSteps], float]) -> Span:
        """Return the span of another training whose steps are the same but for their seconds."""
        other = copy.copy(self)
        other._spec, other._seconds = spec, seconds
        return other

    def grow_as(self, growth: Growth) -> bool:
        """Take the growth of another training; return whether this one's blocks are found in it."""
        line = growth.line_of(self.steps)
        if line is None:
            return False
        self._lines.append(line)
        return True

    def look_at(self, batch_size: int) -> None:
        """Simulate one forward and backward pass of a batch, to see how the blocks grow.

        Raises:
            MemoryMarkError: It cannot be simulated.
        """
        own = self._spec.batch_size
        if batch_size <= own:
            self.trial_at(batch_size)
        else:
            growth = Growth(own, self.steps, batch_size, self._simulate(batch_size, False))
            if self.grow_as(growth):
                self.growth = growth

    def trial_at(self, batch_size: int) -> Trial:
        """Simulate a batch, or return what was simulated, with what its tensors held.

        Raises:
            MemoryMarkError: It cannot be simulated.
        """
        if batch_size not in self._simulated:
            self._add(batch_size, self._simulate(batch_size, True))
        steps = self._simulated[batch_size]
        held = breakdown_at(steps.trace, peak_position(steps.trace))
        with self._asked():
            held_bytes = steps.free_running.peak_allocated_bytes
            return self._trial(batch_size, held_bytes, self._fits(steps), held.breakdown)

    def follow(self, batch_size: int) -> Trial:
        """Return whether a batch would fit, and what its tensors would hold.

        Raises:
            UnsupportedOperation: That does not follow from the batches that were simulated.
        """
        with self._asked():
            known = self._simulated.get(batch_size)
            if known is not None:
                held_bytes = known.free_running.peak_allocated_bytes
                return self._trial(batch_size, held_bytes, self._fits(known))
            line = self._nearest(batch_size)
            found = None if line is None else self._trial_on(line, batch_size)
            if found is not None:
                return found
        raise UnsupportedOperation(f"Batch {batch_size} does not follow from those simulated.")

    def _add(self, batch_size: int, steps: SimulatedSteps) -> None:
        other = min(self._simulated, key=lambda known: abs(known - batch_size))
        self._simulated[batch_size] = steps
        small, large = sorted((other, batch_size))
        growth = Growth(small, self._simulated[small], large, self._simulated[large])
        line = growth.line_of(self._simulated[small])
        self._lines += [growth.line_from(self._simulated[large]), *([line] if line else [])]
        if small == self._spec.batch_size:
            self.growth = growth

    def _nearest(self, batch_size: int) -> Line | None:
        """Return the line that begins nearest to a batch, of those that are trusted for it."""

        def place(line: Line) -> tuple[int, int, int]:
            beyond = max(batch_size - _trusted_to(line), 0)
            return beyond, abs(line.batch_size - batch_size), line.reach

        return min(self._lines, key=place, default=None)

    def _trial_on(self, line: Line, batch_size: int) -> Trial | None:
        """Say whether a batch fits; None where that hangs on blocks that are not known."""
        capacity, least = self._target.capacity_bytes, line.least_peak_bytes(batch_size)
        too_few, too_many = line.slack(batch_size)
        if capacity is not None and least - too_many > capacity:
            return self._trial(batch_size, least, fits=False)
        steps = line.at(batch_size)
        if steps is None:
            return None
        fits = self._fits(steps, too_few)
        if not fits and (too_few or too_many) and self._fits(steps, -too_many):
            return None
        return self._trial(batch_size, steps.free_running.peak_allocated_bytes, fits)

    def _asked(self) -> AbstractContextManager[None]:
        return asked_for(self._spec.config.expandable_segments)

    def _trial(
        self,
        batch_size: int,
        held_bytes: int,
        fits: bool,
        held: Breakdown | None = None,
    ) -> Trial:
        return new_trial(
            self._target,
            dataclasses.replace(self._spec, batch_size=batch_size),
            Outcome.OK if fits else Outcome.OOM,
            peak_allocated_bytes=held_bytes,
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


def _trusted_to(line: Line) -> int:
    return int(line.reach * _BEYOND)
