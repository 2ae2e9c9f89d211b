"""What one trial runs: checked once, and passed on as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memorymark.records.config import TrainingConfig, check_batch_size, with_image_size
from memorymark.records.trial import Stage

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload


@dataclass(frozen=True)
class TrialSpec:
    """One workload, one config, one batch size.

    Attributes:
        workload: What is trained.
        config: How it is trained; what it leaves open is filled in by the workload.
        batch_size: Samples in one forward pass.
        stage: How far each step goes.
        timed_steps: Steps that are timed; None leaves it to the probe.

    Raises:
        InvalidValue: The batch size is out of range.
        UsageError: The workload cannot be trained in this way.
    """

    workload: Workload
    config: TrainingConfig
    batch_size: int
    stage: Stage = Stage.STEP
    timed_steps: int | None = None

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)
        object.__setattr__(self, "config", with_image_size(self.workload.describe(self.config)))
