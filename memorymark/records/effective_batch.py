"""One effective batch size, reached by micro-batches of several sizes. Data only.

The effective batch is what one optimizer step sees; a micro-batch is what one forward pass sees.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from memorymark.records.costs import SECONDS_PER_HOUR, cost_band, usd_for


@dataclass(frozen=True)
class Split:
    """How an effective batch is split.

    Attributes:
        micro_batch_size: Samples of each micro-batch but the last.
        accumulation: Micro-batches of an optimizer step.
        last_micro_batch_size: Samples of the last one.
    """

    micro_batch_size: int
    accumulation: int
    last_micro_batch_size: int


@dataclass(frozen=True)
class AccumulatedStep:
    """An optimizer step of the effective batch, tried.

    Attributes:
        mark: Whose batch is not exceeded: "recommended" or "largest".
        split: How the effective batch is split.
        fits: Whether such a step completes; None where the trial failed.
        memory_bytes: The memory that it takes, as of any trial.
        seconds: Seconds of one optimizer step; the last micro-batch counts as a full one.
        seconds_low: Where they are estimated, the least that is likely.
        seconds_high: The most that is likely.
        samples_per_second: Samples of the effective batch over these seconds.
        usd: Dollars of one optimizer step.
        tried_accumulation: Micro-batches of the trial, where they were fewer: its seconds are then
            those of a part.
        error: Why the trial failed.
    """

    mark: str
    split: Split
    fits: bool | None = None
    memory_bytes: int | None = None
    seconds: float | None = None
    seconds_low: float | None = None
    seconds_high: float | None = None
    samples_per_second: float | None = None
    usd: float | None = None
    tried_accumulation: int | None = None
    error: str | None = None

    @property
    def speed_band(self) -> tuple[float, float] | None:
        """The least and the most samples a second that are likely; None where there is no band."""
        low, high, speed = self.seconds_low, self.seconds_high, self.samples_per_second
        if not (self.seconds and low and high and speed):
            return None
        return speed * self.seconds / high, speed * self.seconds / low

    def likely(self, figure: float | None) -> tuple[float, float] | None:
        """The least and the most that is likely of what goes with its seconds."""
        return cost_band(figure, self.samples_per_second, self.speed_band)


@dataclass(frozen=True)
class EffectiveBatch:
    """The wanted effective batch, at the recommended and at the largest batch.

    Attributes:
        batch_size: Samples of an optimizer step.
        current_batch_size: Those of today's: the current batch times its accumulation.
        steps: How it is reached.
    """

    batch_size: int
    current_batch_size: int
    steps: tuple[AccumulatedStep, ...] = ()

    @property
    def ratio(self) -> float:
        """The wanted effective batch over today's."""
        return self.batch_size / self.current_batch_size

    def at(self, current_batch_size: int, price_per_hour: float | None) -> EffectiveBatch:
        """Return the same for another current effective batch and another price."""
        steps = tuple(
            dataclasses.replace(
                step,
                usd=None
                if step.seconds is None
                else usd_for(step.seconds / SECONDS_PER_HOUR, price_per_hour),
            )
            for step in self.steps
        )
        return dataclasses.replace(self, current_batch_size=current_batch_size, steps=steps)
