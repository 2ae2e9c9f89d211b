"""The choices that a training leaves, in each dimension, to whoever looks for the cheapest set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from memorymark.analysis.levers.fit_options import (
    OF_ACCUMULATION,
    FitOption,
    FitOptions,
    goes_with,
)
from memorymark.analysis.levers.known_levers import LEVERS
from memorymark.analysis.levers.lever_kinds import Changes, Effect, KnownLever, Theory
from memorymark.analysis.levers.trying import Attempts, Tried

Try = Callable[[Iterable[FitOption]], Tried | None]

# Dimensions whose levers cost something: all their combinations are considered. The others cost
# neither time nor accuracy, are taken all together, and those that were not needed given back.
_COSTLY = ("precision", "checkpointing", "optimizer", "trained weights", "accumulation")
_SLOWER = (Theory.UP, Theory.NOT_DOWN)


class FitChoices:
    """What can be chosen for one training.

    Args:
        attempts: Tries changes.
        before: The training as it is, which does not fit.
        alone: What each lever alone comes to, by key.
    """

    def __init__(self, attempts: Attempts, before: Tried, alone: Mapping[str, Tried]) -> None:
        self._attempts, self._before, self._alone = attempts, before, alone
        self._free = [
            lever
            for lever in LEVERS
            if lever.dimension not in _COSTLY and lever.key in alone and _costs_nothing(lever)
        ]

    def free(self, options: FitOptions) -> Iterator[FitOption]:
        """Yield what costs nothing and goes with a set."""
        config = self._attempts.config
        taken = {name for option in options for name in option.changes}
        for lever in self._free:
            changes = lever.changes(config, self._attempts.batch_size)
            if changes and not set(changes) & taken and goes_with(lever, options):
                yield self._option(lever, changes)

    def dimensions(self, try_options: Try, *, with_samples: bool) -> list[list[FitOption]]:
        """Return the choices of each dimension that costs something, doing nothing first.

        Args:
            try_options: Tries a set of choices.
            with_samples: Whether samples may be made shorter or smaller.
        """
        found = []
        none = FitOption(None, {}, 1.0, self._before.needed_bytes)
        names = dict.fromkeys(lever.dimension for lever in LEVERS)
        for name in names:
            levers = [x for x in LEVERS if x.dimension == name and x.key in self._alone]
            is_of_samples = any(lever.effect is Effect.SAMPLES for lever in levers)
            if name == OF_ACCUMULATION.dimension:
                found.append([none, *self._priced(list(self.accumulations()), try_options)])
            elif name in _COSTLY or (is_of_samples and with_samples):
                found.append([none, *(self._option(x, self._changes(x)) for x in levers)])
        return [options for options in found if len(options) > 1]

    def accumulations(self) -> Iterator[FitOption]:
        """Yield smaller batches of a forward pass that make up the same effective batch."""
        batch, times = self._attempts.batch_size, self._attempts.config.gradient_accumulation
        shares = [n for n in range(2, batch + 1) if batch % n == 0]
        near = {min(s for s in shares if s >= 2**n) for n in range(1, 17) if 2**n <= batch}
        for number, share in enumerate(sorted(near), 1):
            changes = {"batch_size": batch // share, "gradient_accumulation": times * share}
            memory = (self._before.needed_bytes or 0) - number
            yield FitOption(OF_ACCUMULATION, changes, 1.0, memory)

    def _priced(self, options: list[FitOption], try_options: Try) -> list[FitOption]:
        """Return ways to accumulate with what they cost, from the seconds of the first of them.

        What the first takes more is what its further passes do not share out: launches, and
        weights that are read again. Each further pass takes at least as much again, since the
        seconds of a pass fall ever more slowly with its batch. So no cost here is above the one
        that is simulated where a set is tried, and no set that costs less is left out for it.
        """
        first = try_options(options[:1]) if options else None
        if first is None or first.seconds_per_sample is None:
            return options
        batch = self._attempts.batch_size
        more = max(0.0, first.seconds_per_sample / self._now - 1)
        a_pass = more / (batch // first.batch_size - 1)
        return [
            FitOption(
                each.lever,
                each.changes,
                1.0 + a_pass * (batch // each.changes["batch_size"] - 1),
                each.memory_bytes,
            )
            for each in options
        ]

    def _option(self, lever: KnownLever, changes: Changes) -> FitOption:
        tried = self._alone[lever.key]
        ratio = (tried.seconds_per_sample or self._now) / self._now
        return FitOption(lever, changes, ratio, tried.needed_bytes)

    def _changes(self, lever: KnownLever) -> Changes:
        return lever.changes(self._attempts.config, self._attempts.batch_size) or {}

    @property
    def _now(self) -> float:
        return self._before.seconds_per_sample or 1.0


def _costs_nothing(lever: KnownLever) -> bool:
    return lever.effect <= Effect.ROUNDING and lever.time not in _SLOWER
