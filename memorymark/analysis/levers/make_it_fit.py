"""The cheapest set of levers that makes a batch fit, every set that counts simulated.

Sets are tried in the order of what a sample should cost with them: the seconds of a sample as it
is, times what each lever alone does to them. A set that does not fit says that no set which needs
more memory fits either, so most sets are never simulated. The cheapest set that was simulated and
fits is then rid of every lever without which it fits and costs no more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from memorymark.analysis.levers.known_levers import (
    BY_KEY,
    LEVERS,
    Changes,
    Effect,
    KnownLever,
    Theory,
)
from memorymark.analysis.levers.trying import Attempts, Tried
from memorymark.records.lever import Lever

_MOST_SIMULATIONS = 60
_AFTER_THE_FIRST = 8
_SAME_COST = 1.001
# Dimensions whose levers cost something: all their combinations are considered. The others cost
# neither time nor accuracy, are taken all together, and those that were not needed given back.
_COSTLY = ("precision", "checkpointing", "optimizer", "trained weights", "accumulation")
_SLOWER = (Theory.UP, Theory.NOT_DOWN)
_OF_ACCUMULATION = BY_KEY["accumulation"]


@dataclass(frozen=True)
class _Option:
    """One choice in one dimension: a lever, or none; of accumulation, how often."""

    lever: KnownLever | None
    changes: Changes
    cost: float
    memory_bytes: int | None

    @property
    def label(self) -> str:
        """What it is called where it is listed."""
        if self.lever is not _OF_ACCUMULATION or self.lever is None:
            return self.lever.name if self.lever else ""
        return f"Batch {self.changes['batch_size']}, accumulated"


_Set = tuple[_Option, ...]


class MakeItFit:
    """Looks for the cheapest set of levers with which a batch fits.

    Args:
        attempts: Tries changes.
        before: The training as it is, which does not fit.
        alone: What each lever alone comes to, by key.
    """

    def __init__(self, attempts: Attempts, before: Tried, alone: Mapping[str, Tried]) -> None:
        self._attempts, self._before, self._alone = attempts, before, alone
        self._failed: list[_Set] = []
        self._simulations = 0
        self._free = [
            lever
            for lever in LEVERS
            if lever.dimension not in _COSTLY and lever.key in alone and _costs_nothing(lever)
        ]

    def cheapest(self) -> _Set | None:
        """Return the cheapest set that fits; None where none does."""
        for samples in (False, True):
            found = self._cheapest_of(self._dimensions(with_samples=samples))
            if found is not None:
                return found
        return None

    def steps(self, chosen: _Set) -> list[Lever]:
        """Apply the levers of a set one after the other, the largest saving first."""
        steps, changes = [], {}
        last = self._before
        for option in sorted(chosen, key=_by_memory):
            changes |= option.changes
            tried = self._attempts.try_changes(dict(changes))
            if isinstance(tried, str):  # it stands only together with a later one
                continue
            assert option.lever is not None
            steps.append(self._attempts.lever(option.label, tried, last, option.lever.notes))
            last = tried
        return steps

    def _cheapest_of(self, dimensions: list[list[_Option]]) -> _Set | None:
        self._rule_out(dimensions)
        best: tuple[tuple[float, int, int], _Set] | None = None
        left = _AFTER_THE_FIRST
        for options in sorted(itertools.product(*dimensions), key=_order):
            if best is not None and (left == 0 or _cost(options) * self._now > best[0][0]):
                break
            if self._simulations >= _MOST_SIMULATIONS and best is not None:
                break
            tried = self._fitting(options)
            if best is not None:
                left -= 1
            if tried is None:
                continue
            chosen, cost = self._lean(_pulled(options), tried)
            found = (cost, len(chosen), sum(_effect(option) for option in chosen)), chosen
            best = found if best is None else min(best, found, key=lambda each: each[0])
        return None if best is None else best[1]

    @property
    def _now(self) -> float:
        return self._before.seconds_per_sample or 1.0

    def _rule_out(self, dimensions: list[list[_Option]]) -> None:
        """Try the sets that need least but do without one dimension: most of the others follow."""
        least = [min(options, key=_memory) for options in dimensions]
        for number, options in enumerate(dimensions):
            if len(options) > 1:
                self._fitting((*least[:number], options[0], *least[number + 1 :]))

    def _fitting(self, options: _Set) -> Tried | None:
        """Return what a set comes to with all that costs nothing; None where it does not fit."""
        if any(_needs_at_least(options, failed) for failed in self._failed):
            return None
        tried = self._try((*_pulled(options), *self._free_options(options)))
        if tried is None or not tried.fits:
            self._failed.append(options)
            return None
        return tried

    def _try(self, options: Iterable[_Option]) -> Tried | None:
        self._simulations += 1
        changes = {name: value for each in options for name, value in each.changes.items()}
        tried = self._attempts.try_changes(changes, in_full=False)
        return None if isinstance(tried, str) else tried

    def _free_options(self, options: _Set) -> Iterator[_Option]:
        """Yield what costs nothing and goes with a set."""
        config = self._attempts.config
        taken = {name for option in options for name in option.changes}
        for lever in self._free:
            changes = lever.changes(config, self._attempts.batch_size)
            if changes and not set(changes) & taken and _goes_with(lever, options):
                yield self._option(lever, changes)

    def _lean(self, pulled: _Set, tried: Tried) -> tuple[_Set, float]:
        """Give back each lever without which the set fits and costs no more.

        First what costs something; then all that costs nothing at once, and one after the other
        only where some of it is needed.
        """
        free = tuple(self._free_options(pulled))
        cost = tried.seconds_per_sample or math.inf
        for option in sorted(pulled, key=_least_wanted):
            rest = tuple(each for each in pulled if each is not option)
            if (less := self._cost_of((*rest, *free), at_most=cost)) is not None:
                pulled, cost = rest, less
        if not free:
            return pulled, cost
        if (less := self._cost_of(pulled, at_most=cost)) is not None:
            return pulled, less
        for option in sorted(free, key=_least_wanted) if len(free) > 1 else ():
            rest = tuple(each for each in free if each is not option)
            if (less := self._cost_of((*pulled, *rest), at_most=cost)) is not None:
                free, cost = rest, less
        return (*pulled, *free), cost

    def _cost_of(self, options: _Set, *, at_most: float) -> float | None:
        """Return the seconds of a sample with a set; None where it does not fit or costs more."""
        tried = self._try(options)
        if tried is None or not tried.fits:
            return None
        cost = tried.seconds_per_sample or math.inf
        return cost if cost <= at_most * _SAME_COST else None

    def _dimensions(self, *, with_samples: bool) -> list[list[_Option]]:
        """Return the choices of each dimension that costs something, doing nothing first."""
        found = []
        none = _Option(None, {}, 1.0, self._before.needed_bytes)
        names = dict.fromkeys(lever.dimension for lever in LEVERS)
        for name in names:
            levers = [x for x in LEVERS if x.dimension == name and x.key in self._alone]
            is_of_samples = any(lever.effect is Effect.SAMPLES for lever in levers)
            if name == _OF_ACCUMULATION.dimension:
                found.append([none, *self._accumulations()])
            elif name in _COSTLY or (is_of_samples and with_samples):
                found.append([none, *(self._option(x, self._changes(x)) for x in levers)])
        return [options for options in found if len(options) > 1]

    def _accumulations(self) -> Iterator[_Option]:
        """Yield smaller batches of a forward pass that make up the same effective batch."""
        batch, times = self._attempts.batch_size, self._attempts.config.gradient_accumulation
        shares = [n for n in range(2, batch + 1) if batch % n == 0]
        near = {min(s for s in shares if s >= 2**n) for n in range(1, 17) if 2**n <= batch}
        for number, share in enumerate(sorted(near), 1):
            changes = {"batch_size": batch // share, "gradient_accumulation": times * share}
            memory = (self._before.needed_bytes or 0) - number
            yield _Option(_OF_ACCUMULATION, changes, 1.0 + 1e-4 * number, memory)

    def _option(self, lever: KnownLever, changes: Changes) -> _Option:
        tried = self._alone[lever.key]
        ratio = (tried.seconds_per_sample or self._now) / self._now
        return _Option(lever, changes, ratio, tried.needed_bytes)

    def _changes(self, lever: KnownLever) -> Changes:
        return lever.changes(self._attempts.config, self._attempts.batch_size) or {}


def _costs_nothing(lever: KnownLever) -> bool:
    return lever.effect <= Effect.ROUNDING and lever.time not in _SLOWER


def _goes_with(lever: KnownLever, options: _Set) -> bool:
    """Whether a lever has a place beside others: some only turn what others have replaced."""
    dimensions = {option.lever.dimension for option in options if option.lever}
    if lever.dimension == "optimizer implementation":
        return "optimizer" not in dimensions
    return not (lever.dimension == "cache" and "checkpointing" in dimensions)


def _pulled(options: _Set) -> _Set:
    return tuple(option for option in options if option.lever is not None)


def _cost(options: _Set) -> float:
    return math.prod(option.cost for option in options)


def _effect(option: _Option) -> int:
    return int(option.lever.effect) if option.lever else 0


def _order(options: _Set) -> tuple[float, int, int]:
    return round(_cost(options), 6), len(_pulled(options)), sum(map(_effect, options))


def _memory(option: _Option) -> float:
    return math.inf if option.memory_bytes is None else option.memory_bytes


def _by_memory(option: _Option) -> float:
    return _memory(option)


def _least_wanted(option: _Option) -> tuple[int, float]:
    """Give back first what touches the training most, then what costs most."""
    return -_effect(option), -option.cost


def _needs_at_least(options: _Set, other: _Set) -> bool:
    """Whether a set certainly needs no less memory than another one."""
    return all(_is_no_less(one, two) for one, two in zip(options, other, strict=True))


def _is_no_less(one: _Option, two: _Option) -> bool:
    if one is two:
        return True
    if _is_amp(one) != _is_amp(two) and not _is_pure(two):
        return False  # mixed precision takes more or less, as the batch is
    return _memory(one) >= _memory(two)


def _is_amp(option: _Option) -> bool:
    return str(option.changes.get("precision", "")).startswith("amp")


def _is_pure(option: _Option) -> bool:
    return option.changes.get("precision") in ("bf16", "fp16")
