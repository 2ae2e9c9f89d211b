"""Which levers are worth naming, and in which order.

A lever is named where it gains anything: memory, seconds of a sample, or a larger batch. It stands
the higher the more it saves of memory and of the cost of a sample together, both as shares of what
the training takes now. Cost goes with the seconds of a sample, at whatever price. Levers that
change what a sample is come last: a sample of half the length is not the same sample for less.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from memorymark.analysis.levers.combined_levers import Combined
from memorymark.analysis.levers.lever_kinds import Effect
from memorymark.analysis.levers.trying import Tried, saved_bytes
from memorymark.records.costs import pareto_efficient
from memorymark.records.gain import SMALLEST_SIMULATED_GAIN
from memorymark.records.lever import Lever

LEAST_SAVING = 0.005
"""Share of the memory below which a saving is not worth a change of the code."""


@dataclass(frozen=True)
class Pulled:
    """A lever that was tried.

    Attributes:
        combined: The lever.
        tried: What it comes to.
        lever: Its record.
    """

    combined: Combined
    tried: Tried
    lever: Lever


@dataclass(frozen=True)
class Gain:
    """What a change gains, as shares of what the training takes now; negative where it loses.

    Attributes:
        memory: Of the memory; 0 where unknown.
        time: Of the seconds of a sample; 0 where unknown.
    """

    memory: float
    time: float

    @property
    def is_any(self) -> bool:
        """Whether there is any gain worth naming; shares of speed as of a simulated one."""
        least = 1 - 1 / (1 + SMALLEST_SIMULATED_GAIN)
        return self.memory >= LEAST_SAVING or self.time >= least

    @property
    def both(self) -> float:
        """Memory and money at once."""
        return self.memory + self.time


def gain(before: Tried, after: Tried) -> Gain:
    """Return what a change gains."""
    saved, whole = saved_bytes(before, after), before.trial.memory_bytes
    memory = saved / whole if saved is not None and whole else 0.0
    old, new = before.seconds_per_sample, after.seconds_per_sample
    return Gain(memory, 1 - new / old if old and new else 0.0)


def is_worth_naming(before: Tried, pulled: Pulled, largest_before: int | None) -> bool:
    """Say whether a lever gains anything."""
    if gain(before, pulled.tried).is_any:
        return True
    return (pulled.lever.max_batch_size or 0) > (largest_before or 0) and not _shrinks(pulled)


def ranked(before: Tried, pulled: Iterable[Pulled]) -> list[Pulled]:
    """Return levers, the best first: those with which the batch fits before those without."""

    def place(each: Pulled) -> tuple[bool, bool, float]:
        is_other_sample = each.combined.effect is Effect.SAMPLES
        return not each.tried.fits, is_other_sample, -gain(before, each.tried).both

    return sorted(pulled, key=place)


def with_efficient(before: Lever, levers: Iterable[Lever]) -> tuple[Lever, tuple[Lever, ...]]:
    """Mark those of which no other takes as little memory and is as fast, the present among them.

    Args:
        before: The training as it is.
        levers: The levers.
    """
    every = [before, *levers]
    points = [(_known(lever.memory_bytes, lever), _seconds(lever)) for lever in every]
    marked = [
        dataclasses.replace(lever, efficient=is_efficient)
        for lever, is_efficient in zip(every, pareto_efficient(points), strict=True)
    ]
    return marked[0], tuple(marked[1:])


def _shrinks(pulled: Pulled) -> bool:
    """Whether it makes the batch of a forward pass smaller, which fits more often by itself."""
    return "batch_size" in pulled.combined.changes


def _known(value: int | None, lever: Lever) -> int | None:
    return value if lever.fits else None


def _seconds(lever: Lever) -> float | None:
    return 1 / lever.samples_per_second if lever.samples_per_second else None
