"""The choices among which the cheapest set of levers is looked for, and how they compare."""

from __future__ import annotations

import math
from dataclasses import dataclass

from memorymark.analysis.levers.known_levers import BY_KEY
from memorymark.analysis.levers.lever_kinds import Changes, KnownLever

OF_ACCUMULATION = BY_KEY["accumulation"]


@dataclass(frozen=True)
class FitOption:
    """One choice in one dimension: a lever, or none; of accumulation, how often.

    Attributes:
        lever: What is pulled; None where all stays as it is.
        changes: What it changes.
        cost: What it does to the seconds of a sample: a factor.
        memory_bytes: What the step needs with it alone; None where unknown.
    """

    lever: KnownLever | None
    changes: Changes
    cost: float
    memory_bytes: int | None

    @property
    def label(self) -> str:
        """What it is called where it is listed."""
        if self.lever is not OF_ACCUMULATION or self.lever is None:
            return self.lever.name if self.lever else ""
        return f"Batch {self.changes['batch_size']}, accumulated"


FitOptions = tuple[FitOption, ...]
"""One choice of each dimension; of those that are pulled, some."""


def pulled(options: FitOptions) -> FitOptions:
    """Return the choices that change something."""
    return tuple(option for option in options if option.lever is not None)


def labels(options: FitOptions) -> str:
    """Name what is pulled."""
    return " + ".join(option.label for option in pulled(options))


def cost_of(options: FitOptions) -> float:
    """Return what choices together do to the seconds of a sample, each as it does alone."""
    return math.prod(option.cost for option in options)


def effect_of(option: FitOption) -> int:
    """Return how much of the training a choice touches."""
    return int(option.lever.effect) if option.lever else 0


def cheapest_first(options: FitOptions) -> tuple[float, int, int]:
    """Order sets by their cost; of the same cost the one that touches least comes first."""
    return round(cost_of(options), 6), len(pulled(options)), sum(map(effect_of, options))


def memory_of(option: FitOption) -> float:
    """Return what a choice needs, or more than anything where that is unknown."""
    return math.inf if option.memory_bytes is None else option.memory_bytes


def least_wanted(option: FitOption) -> tuple[int, float]:
    """Give back first what touches the training most, then what costs most."""
    return -effect_of(option), -option.cost


def goes_with(lever: KnownLever, options: FitOptions) -> bool:
    """Whether a lever has a place beside others: some only turn what others have replaced."""
    dimensions = {option.lever.dimension for option in options if option.lever}
    if lever.dimension == "optimizer implementation":
        return "optimizer" not in dimensions
    return not (lever.dimension == "cache" and "checkpointing" in dimensions)


def needs_at_least(options: FitOptions, other: FitOptions) -> bool:
    """Whether a set certainly needs no less memory than another one."""
    return all(_is_no_less(one, two) for one, two in zip(options, other, strict=True))


def _is_no_less(one: FitOption, two: FitOption) -> bool:
    if one is two:
        return True
    if _is_amp(one) != _is_amp(two) and not _is_pure(two):
        return False  # mixed precision takes more or less, as the batch is
    return memory_of(one) >= memory_of(two)


def _is_amp(option: FitOption) -> bool:
    return str(option.changes.get("precision", "")).startswith("amp")


def _is_pure(option: FitOption) -> bool:
    return option.changes.get("precision") in ("bf16", "fp16")
