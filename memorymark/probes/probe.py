"""The interface of a probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from memorymark.records.trial import Target, Trial

if TYPE_CHECKING:
    from memorymark.workloads.trial_spec import TrialSpec


class Probe(Protocol):
    """Runs trials on one target."""

    @property
    def target(self) -> Target:
        """What the trials run on."""

    def run_trial(self, spec: TrialSpec) -> Trial:
        """Run one trial. Out of memory is a normal result, as is a model's own error.

        Raises:
            PoisonedDevice: The device can run nothing more in this process.
            MemoryMarkError: The workload cannot be built or fed.
        """

    def simulation(self) -> Probe | None:
        """Return a probe that simulates this target; None where there is no such simulation."""
