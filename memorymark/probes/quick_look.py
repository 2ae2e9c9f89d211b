"""A quick look at how memory grows, before a search on a simulated device.

Two simulations at small batches give the traces of all others on their line
(`memorymark.simulator.families`). What is read off them is no result: it says where a search
starts, which then simulates the batch that is expected to be the largest, and the next above it.
"""

from __future__ import annotations

from collections.abc import Callable

from memorymark.errors import BoundReached, MemoryMarkError, UnsupportedOperation
from memorymark.probes.common import new_trial
from memorymark.probes.probe import Probe
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome, Target, Trial
from memorymark.simulator.allocator.environment import asked_for
from memorymark.simulator.allocator.replay import replay
from memorymark.simulator.families import BatchSizes
from memorymark.simulator.reserved_range import base_events
from memorymark.simulator.simulate import SimulatedSteps
from memorymark.workloads.base import Workload
from memorymark.workloads.trial_spec import TrialSpec

BATCH_SIZES = (8, 16)
"""The batches that are simulated: searches begin at the first, and users often at the second."""

# Longer traces are not kept beside those of the search: they would take gigabytes.
_MOST_EVENTS = 200_000


class QuickLook(Probe):
    """Says of any batch whether it would fit, from the traces of two.

    Args:
        target: The simulated device.
        steps: The simulations of two batches.
    """

    def __init__(self, target: Target, steps: BatchSizes) -> None:
        self.target, self._steps = target, steps

    def run_trial(self, spec: TrialSpec) -> Trial:
        """Say whether a batch would fit, and what it would hold.

        Raises:
            UnsupportedOperation: The traces of the two say nothing of this batch.
        """
        with asked_for(spec.config.expandable_segments):
            return self._expected(spec)

    def _expected(self, spec: TrialSpec) -> Trial:
        steps = self._steps.expect(spec.batch_size)
        if steps is None:
            raise UnsupportedOperation(
                f"Batch {spec.batch_size} does not follow from batches {BATCH_SIZES}."
            )
        benchmark, capacity = spec.config.cudnn_benchmark, self.target.capacity_bytes
        events = base_events(steps.trace, steps.convolutions, benchmark=benchmark)
        free = replay(events) if benchmark else steps.free_running
        roomy = capacity is None or free.peak_reserved_bytes <= capacity
        too_large = capacity is not None and free.peak_allocated_bytes > capacity
        held = free if roomy or too_large else replay(events, capacity)
        fits = held.fits and not too_large
        return new_trial(
            self.target, spec, Outcome.OK if fits else Outcome.OOM,
            peak_allocated_bytes=free.peak_allocated_bytes,
            peak_reserved_bytes=held.peak_reserved_bytes,
        )  # fmt: skip


def look(
    target: Target,
    workload: Workload,
    config: TrainingConfig,
    simulate: Callable[[TrialSpec], SimulatedSteps],
) -> tuple[QuickLook | None, dict[TrialSpec, SimulatedSteps]]:
    """Simulate two small batches; return the look that they allow, and the simulations.

    There is none where a batch cannot be simulated, and where the two are not on one line.

    Raises:
        BoundReached: A batch takes too much work; the search would take no less.
    """
    kept, simulated = BatchSizes(), {}
    try:
        for batch_size in BATCH_SIZES:
            spec = TrialSpec(workload, config, batch_size)
            steps = simulated[spec] = simulate(spec)
            if len(steps.trace.events) > _MOST_EVENTS:
                break  # the search, which begins with the first of them, takes it from here
            kept.add(batch_size, steps)
    except BoundReached:
        raise
    except MemoryMarkError:
        pass  # the search says why, if it comes to such a batch
    known = kept.expect(max(BATCH_SIZES) + 1) is not None
    return (QuickLook(target, kept) if known else None), simulated
