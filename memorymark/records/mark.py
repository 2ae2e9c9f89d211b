"""What an analysis points to: batch sizes that matter, and changes that make room. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from memorymark.records.costs import cost_band
from memorymark.records.trial import Trial


@dataclass(frozen=True)
class Mark:
    """A batch size that matters, with what is known of it.

    Attributes:
        batch_size: The batch size; None where there is none, as when nothing fits.
        trial: The trial at this batch size, where one ran.
        memory_bytes: Memory that a training at this batch takes.
        samples_per_second: Its throughput.
        interpolated: Whether the two figures lie between two trials, instead of in one.
        fits: Whether it trains; None where that is not known.
        samples_per_second_low: Where the throughput lies between two that are estimated, the least
            that is likely.
        samples_per_second_high: The most that is likely.
    """

    json_optional: ClassVar[tuple[str, ...]] = (
        "samples_per_second_low", "samples_per_second_high",
    )  # fmt: skip

    batch_size: int | None = None
    trial: Trial | None = None
    memory_bytes: int | None = None
    samples_per_second: float | None = None
    interpolated: bool = False
    fits: bool | None = None
    samples_per_second_low: float | None = None
    samples_per_second_high: float | None = None

    @property
    def speed_band(self) -> tuple[float, float] | None:
        """The least and the most samples a second that are likely; None where there is no band."""
        if self.trial is not None:
            return self.trial.speed_band if self.samples_per_second else None
        low, high = self.samples_per_second_low, self.samples_per_second_high
        return None if low is None or high is None else (low, high)

    @property
    def most_memory_bytes(self) -> int | None:
        """The memory that a training at this batch may take: the higher end of a range."""
        known = self.memory_bytes is not None and self.trial is not None
        return self.trial.most_memory_bytes if known else self.memory_bytes

    def likely(self, figure: float | None) -> tuple[float, float] | None:
        """The least and the most that is likely of dollars or hours that go with its throughput."""
        return cost_band(figure, self.samples_per_second, self.speed_band)


@dataclass(frozen=True)
class Advice:
    """A change of the config that may make room.

    Attributes:
        text: What to change, in words.
        change: Fields of TrainingConfig with their new values.
        batch_size: Batch size that the figures are for.
        memory_bytes: Memory with the change; None where it was not tried.
        saved_bytes: Memory that the change saves; None where unknown.
        fits: Whether the batch fits with the change; None where it was not tried.
    """

    text: str
    change: Mapping[str, Any]
    batch_size: int | None = None
    memory_bytes: int | None = None
    saved_bytes: int | None = None
    fits: bool | None = None
