"""What the user of an analysis wants to know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memorymark.errors import InvalidValue
from memorymark.records.codec import Record
from memorymark.records.config import MAX_BATCH_SIZE, check_count, parse_choice
from memorymark.records.costs import Plan

_LARGEST_COUNT = 10**15


class Objective(StrEnum):
    """What the optimal batch is chosen for."""

    THROUGHPUT = "throughput"
    MEMORY = "memory"


@dataclass(frozen=True)
class AnalysisOptions(Record):
    """What the user wants to know about a training.

    Attributes:
        current_batch_size: The batch that is run today.
        price_per_hour: Dollars for one hour of the GPU.
        dataset_size: Samples in the data set; also the largest batch that makes sense.
        epochs: Passes over the data set in one run.
        runs_per_year: Training runs in a year.
        objective: What the optimal batch is chosen for.
        granularity: The max batch is exact to this many samples.
        headroom: Share of the capacity that the optimal batch leaves free.
        max_batch_size: The largest batch that is tried.

    Raises:
        InvalidValue: A number is out of range.
        UnknownChoice: The objective is none of the known ones.
    """

    current_batch_size: int = 16
    price_per_hour: float | None = None
    dataset_size: int | None = None
    epochs: int | None = None
    runs_per_year: float | None = None
    objective: Objective = Objective.THROUGHPUT
    granularity: int = 8
    headroom: float = 0.05
    max_batch_size: int = MAX_BATCH_SIZE

    def __post_init__(self) -> None:
        object.__setattr__(self, "objective", parse_choice(Objective, "objective", self.objective))
        check_count("current batch size", self.current_batch_size, MAX_BATCH_SIZE)
        check_count("granularity", self.granularity, MAX_BATCH_SIZE)
        check_count("largest batch size", self.max_batch_size, MAX_BATCH_SIZE)
        for name in ("dataset_size", "epochs"):
            if getattr(self, name) is not None:
                check_count(name.replace("_", " "), getattr(self, name), _LARGEST_COUNT)
        for name in ("price_per_hour", "runs_per_year"):
            _check_amount(name.replace("_", " "), getattr(self, name))
        if not _is_number(self.headroom) or not 0 <= self.headroom < 1:
            raise InvalidValue("headroom", self.headroom, "a share from 0 to below 1, such as 0.05")

    @property
    def plan(self) -> Plan:
        """What the costs follow from."""
        return Plan(self.price_per_hour, self.dataset_size, self.epochs, self.runs_per_year)

    @property
    def upper_bound(self) -> int:
        """The largest batch that may be tried: no more than the data set holds."""
        return min(self.max_batch_size, self.dataset_size or self.max_batch_size)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_amount(what: str, value: object) -> None:
    if value is not None and not (_is_number(value) and 0 <= value < float("inf")):
        raise InvalidValue(what, value, "a number from 0 up")
