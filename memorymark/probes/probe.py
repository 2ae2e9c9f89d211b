"""What every probe offers to those above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Stage, Target, Trial

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload


class Probe(Protocol):
    """Runs trials on one target."""

    @property
    def target(self) -> Target:
        """What the trials run on."""

    def run(
        self,
        workload: Workload,
        config: TrainingConfig,
        batch_size: int,
        *,
        stage: Stage = Stage.STEP,
        timed_steps: int | None = None,
    ) -> Trial:
        """Run one trial. Out of memory is a normal result, as is a model's own error.

        Args:
            workload: What is trained.
            config: How it is trained.
            batch_size: Samples in one forward pass.
            stage: How far each step goes.
            timed_steps: Steps that are timed; None leaves it to the probe.

        Raises:
            PoisonedDevice: The device can run nothing more in this process.
            MemoryMarkError: The workload cannot be built or fed.
        """
