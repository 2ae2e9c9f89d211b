"""The cheapest set of levers that makes a batch fit, every set that counts simulated.

Sets are tried in the order of what a sample should cost with them: the seconds of a sample as it
is, times what each lever alone does to them. A set that does not fit says that no set which needs
more memory fits either, so most sets are never simulated. The cheapest set that was simulated and
fits is then rid of every lever without which it fits and costs no more.

The search ends after so many simulations, and says what it has left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from memorymark.analysis.levers.fit_choices import FitChoices
from memorymark.analysis.levers.fit_options import (
    FitOption,
    FitOptions,
    cheapest_first,
    cost_of,
    effect_of,
    labels,
    least_wanted,
    memory_of,
    needs_at_least,
    pulled,
)
from memorymark.analysis.levers.trying import Attempts, Tried
from memorymark.records.lever import Lever
from memorymark.units import count

_MOST_SIMULATIONS = 60
_AFTER_THE_FIRST = 8
_SAME_COST = 1.001
# Of more choices in one dimension, those that need too much are found by halves.
_FEW_OPTIONS = 5
_Found = tuple[tuple[float, int, int], FitOptions]


class MakeItFit:
    """Looks for the cheapest set of levers with which a batch fits.

    Args:
        attempts: Tries changes.
        before: The training as it is, which does not fit.
        alone: What each lever alone comes to, by key.

    Attributes:
        findings: What is to be said of the search, one sentence each.
        was_ended: Whether sets that might fit, or cost less, were not tried.
    """

    def __init__(self, attempts: Attempts, before: Tried, alone: Mapping[str, Tried]) -> None:
        self.findings: list[str] = []
        self.was_ended = False
        self._attempts, self._before = attempts, before
        self._failed: list[FitOptions] = []
        self._fitted: list[FitOptions] = []
        self._tried: dict[tuple[tuple[str, object], ...], Tried | None] = {}
        self._choices = FitChoices(attempts, before, alone)

    def cheapest(self) -> FitOptions | None:
        """Return the cheapest set that fits; None where none that was tried does."""
        for samples in (False, True):
            found = self._cheapest_of(self._choices.dimensions(self._try, with_samples=samples))
            if found is not None:
                return found
        return None

    def steps(self, chosen: FitOptions) -> list[Lever]:
        """Apply the levers of a set one after the other, the last the one that makes it fit.

        Before it the largest saving comes first. Where the batch fits with each of them left out,
        and they stay for what they save in seconds, the findings say so.
        """
        steps, changes = [], {}
        last = self._before
        for option in self._in_order(chosen):
            changes |= option.changes
            tried = self._attempts.try_changes(dict(changes))
            if isinstance(tried, str):  # it stands only together with a later one
                continue
            assert option.lever is not None
            steps.append(self._attempts.lever(option.label, tried, last, option.lever.notes))
            last = tried
        return steps

    def _in_order(self, chosen: FitOptions) -> list[FitOption]:
        order = sorted(chosen, key=memory_of)
        for last in reversed(order):
            rest = [option for option in order if option is not last]
            if self._first_fitting(rest) is None:
                return [*rest, last]
        first = self._first_fitting(order) or len(order)
        more = tuple(order[first:])
        if more:
            self.findings.append(
                f"The batch fits with {labels(tuple(order[:first]))} alone; "
                f"{labels(more)} makes it cheaper."
            )
        return order

    def _first_fitting(self, order: Sequence[FitOption]) -> int | None:
        """Return with how many of its levers, one after the other, a batch fits first."""
        for number in range(1, len(order) + 1):
            tried = self._try(order[:number])
            if tried is not None and tried.fits:
                return number
        return None

    def _cheapest_of(self, dimensions: list[list[FitOption]]) -> FitOptions | None:
        self._failed, self._fitted = [], []  # sets of these dimensions; what was tried is known
        self._rule_out(dimensions)
        best: _Found | None = None
        left, every = _AFTER_THE_FIRST, sorted(itertools.product(*dimensions), key=cheapest_first)
        for number, options in enumerate(every):
            if best is not None and cost_of(options) * self._now > best[0][0]:
                break
            if self._is_ruled_out(options):
                continue
            if left == 0 or len(self._tried) >= _MOST_SIMULATIONS:
                best = best or self._best_of_those_seen()
                self._end(every[number:], None if best is None else best[0][0])
                break
            tried = self._fitting(options)
            left -= best is not None
            if tried is None:
                continue
            found = self._leanest(options, tried)
            best = found if best is None else min(best, found, key=lambda each: each[0])
        return None if best is None else best[1]

    def _leanest(self, options: FitOptions, tried: Tried) -> _Found:
        chosen, cost = self._lean(pulled(options), tried)
        return (cost, len(chosen), sum(map(effect_of, chosen))), chosen

    def _best_of_those_seen(self) -> _Found | None:
        """Return the cheapest of the sets that fitted while others were ruled out."""
        seen = min(self._fitted, key=cheapest_first, default=None)
        tried = None if seen is None else self._fitting(seen)
        return None if seen is None or tried is None else self._leanest(seen, tried)

    def _end(self, rest: Iterable[FitOptions], cost: float | None) -> None:
        """Say what was not tried of sets that might fit, and cost less than what was found."""
        most = math.inf if cost is None else cost
        left = [
            options
            for options in rest
            if cost_of(options) * self._now <= most and not self._is_ruled_out(options)
        ]
        self.was_ended = True
        which = "might" if cost is None else "might cost less and"
        sets = f"{count(len(left))} {'set' if len(left) == 1 else 'sets'} of levers"
        self.findings.append(
            f"The search for what makes the batch fit was ended after "
            f"{count(len(self._tried))} simulations: {sets} that {which} fit "
            f"{'was' if len(left) == 1 else 'were'} not tried, first of them "
            f"{labels(left[0]) or 'the levers that cost nothing'}."
        )

    @property
    def _now(self) -> float:
        return self._before.seconds_per_sample or 1.0

    def _rule_out(self, dimensions: list[list[FitOption]]) -> None:
        """Try the sets that need least but do without one dimension: most of the others follow.

        Of a dimension with many choices, those that need too much whatever is taken beside them.
        """
        least = [min(options, key=memory_of) for options in dimensions]
        for number, options in enumerate(dimensions):
            others = least[:number], least[number + 1 :]
            if len(options) <= _FEW_OPTIONS:
                self._fitting((*others[0], options[0], *others[1]))
                continue
            order = sorted(options, key=memory_of, reverse=True)
            low, high = 0, len(order)
            while low < high:
                middle = (low + high) // 2
                fits = self._fitting((*others[0], order[middle], *others[1])) is not None
                low, high = (low, middle) if fits else (middle + 1, high)

    def _is_ruled_out(self, options: FitOptions) -> bool:
        return any(needs_at_least(options, failed) for failed in self._failed)

    def _fitting(self, options: FitOptions) -> Tried | None:
        """Return what a set comes to with all that costs nothing; None where it does not fit."""
        if self._is_ruled_out(options):
            return None
        tried = self._try((*pulled(options), *self._choices.free(options)))
        if tried is None or not tried.fits:
            self._failed.append(options)
            return None
        self._fitted.append(options)
        return tried

    def _try(self, options: Iterable[FitOption]) -> Tried | None:
        changes = {name: value for each in options for name, value in each.changes.items()}
        key = tuple(sorted(changes.items()))
        if key not in self._tried:
            tried = self._attempts.try_changes(changes, in_full=False)
            self._tried[key] = None if isinstance(tried, str) else tried
        return self._tried[key]

    def _lean(self, chosen: FitOptions, tried: Tried) -> tuple[FitOptions, float]:
        """Give back each lever without which the set fits and costs no more.

        First what costs something; then all that costs nothing at once, and one after the other
        only where some of it is needed.
        """
        free = tuple(self._choices.free(chosen))
        cost = tried.seconds_per_sample or math.inf
        for option in sorted(chosen, key=least_wanted):
            rest = tuple(each for each in chosen if each is not option)
            if (less := self._cost_of((*rest, *free), at_most=cost)) is not None:
                chosen, cost = rest, less
        if not free:
            return chosen, cost
        if (less := self._cost_of(chosen, at_most=cost)) is not None:
            return chosen, less
        for option in sorted(free, key=least_wanted) if len(free) > 1 else ():
            rest = tuple(each for each in free if each is not option)
            if (less := self._cost_of((*chosen, *rest), at_most=cost)) is not None:
                free, cost = rest, less
        return (*chosen, *free), cost

    def _cost_of(self, options: FitOptions, *, at_most: float) -> float | None:
        """Return the seconds of a sample with a set; None where it does not fit or costs more."""
        tried = self._try(options)
        if tried is None or not tried.fits:
            return None
        cost = tried.seconds_per_sample or math.inf
        return cost if cost <= at_most * _SAME_COST else None
