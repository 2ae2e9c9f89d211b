"""The options of an analysis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from memorymark.records.codec import Record
from memorymark.records.config import MAX_BATCH_SIZE
from memorymark.records.costs import Plan
from memorymark.records.length_distribution import Lengths, distribution, read_lengths, read_range
from memorymark.records.option import check_options, option

LARGEST_COUNT = 10**15  # a browser counts in whole numbers to 2**53
LARGEST_PRICE = 10**9
LARGEST_RUNS = 10**9
LARGEST_EFFECTIVE = 10**6


class Objective(StrEnum):
    """The objective of the optimal batch size."""

    THROUGHPUT = "throughput"
    MEMORY = "memory"


@dataclass(frozen=True)
class AnalysisOptions(Record):
    """The options of an analysis.

    Raises:
        InvalidValue: A number is out of range.
        UnknownChoice: The objective is none of the known ones.
    """

    json_optional: ClassVar[tuple[str, ...]] = (
        "effective_batch_size", "lengths", "length_range",
    )  # fmt: skip

    current_batch_size: int = option(
        16, "Current batch size", "Batch size you train with today.", largest=MAX_BATCH_SIZE
    )
    price_per_hour: float | None = option(
        None,
        "GPU price ($ per hour)",
        "Dollars per hour. Default: the catalogue's price.",
        flag="--price",
        largest=LARGEST_PRICE,
    )
    dataset_size: int | None = option(
        None, "Dataset size", "Samples in the dataset.", largest=LARGEST_COUNT
    )
    epochs: int | None = option(
        None, "Epochs per run", "Passes over the dataset in one run.", largest=LARGEST_COUNT
    )
    runs_per_year: int | float | None = option(
        None, "Runs per year", "Training runs per year.", largest=LARGEST_RUNS
    )
    objective: Objective = option(
        Objective.THROUGHPUT, "Recommend for", "What the recommended batch is chosen for."
    )
    granularity: int = option(
        8,
        "Search step",
        "The largest batch is found to this many samples.",
        largest=MAX_BATCH_SIZE,
    )
    headroom: float = option(
        0.05, "Headroom", "Share of memory kept free at the recommended batch.", largest=0.9
    )
    max_batch_size: int = option(
        MAX_BATCH_SIZE, "Largest batch size", "Largest batch size to try.", largest=MAX_BATCH_SIZE
    )

    effective_batch_size: int | None = option(
        None,
        "Effective batch size",
        "Samples per optimizer step, reached by gradient accumulation; by default not asked for.",
        largest=LARGEST_EFFECTIVE,
    )

    lengths: str | None = option(
        None,
        "Sample lengths",
        "Lengths of the samples in tokens: 32:500,512:20 (length:samples), or a file of lengths.",
        read=read_lengths,
    )
    length_range: str | None = option(
        None,
        "Range of lengths",
        "Shortest, mean and longest sample in tokens, e.g. 16,120,512.",
        read=read_range,
    )

    def __post_init__(self) -> None:
        check_options(self)
        distribution(self.lengths, self.length_range)

    @property
    def distribution(self) -> Lengths | None:
        """How long the samples are, where it was said."""
        return distribution(self.lengths, self.length_range)

    @property
    def plan(self) -> Plan:
        """The inputs of the costs."""
        return Plan(self.price_per_hour, self.dataset_size, self.epochs, self.runs_per_year)

    @property
    def upper_bound(self) -> int:
        """The largest batch that may be tried: no more than the data set holds."""
        return min(self.max_batch_size, self.dataset_size or self.max_batch_size)

    def memory_limit(self, capacity_bytes: int | None) -> int | None:
        """Return the bytes that leave the headroom of a capacity free."""
        return None if capacity_bytes is None else int(capacity_bytes * (1 - self.headroom))
