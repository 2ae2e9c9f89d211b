"""What training costs: every formula, each in one place, with its words.

Money is in US dollars, time in hours, throughput in samples per second. A figure that
depends on something unknown is None.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SECONDS_PER_HOUR = 3600
MILLION = 1_000_000


def samples_per_run(dataset_size: int | None, epochs: int | None) -> int | None:
    """Samples that one run sees: data set size times epochs; one epoch where none is said."""
    return None if dataset_size is None else dataset_size * (epochs or 1)


def hours_for(samples: int | None, samples_per_second: float | None) -> float | None:
    """Hours to train on so many samples: samples over samples per second, over 3,600."""
    if samples is None or not samples_per_second:
        return None
    return samples / samples_per_second / SECONDS_PER_HOUR


def usd_for(hours: float | None, usd_per_hour: float | None) -> float | None:
    """Dollars for so many hours of one GPU: hours times its price per hour."""
    return None if hours is None or usd_per_hour is None else hours * usd_per_hour


def usd_per_year(usd_per_run: float | None, runs_per_year: float | None) -> float | None:
    """Dollars per year: dollars per run times runs per year."""
    return None if usd_per_run is None or runs_per_year is None else usd_per_run * runs_per_year


def difference(before: float | None, after: float | None) -> float | None:
    """What is saved: the figure before less the figure after; negative where it costs more."""
    return None if before is None or after is None else before - after + 0.0  # never -0.0


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """One figure over another, None where either is unknown or the lower one is zero."""
    return None if numerator is None or not denominator else numerator / denominator


def cost_band(
    usd: float | None, samples_per_second: float | None, band: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Return the least and the most that is likely of dollars or hours that go with a throughput.

    Args:
        usd: The figure at the throughput: it halves where the throughput doubles.
        samples_per_second: The throughput.
        band: The least and the most samples a second that are likely.

    Example:
        >>> cost_band(6.0, 100.0, (50.0, 200.0))
        (3.0, 12.0)
    """
    if usd is None or not samples_per_second or band is None:
        return None
    low, high = band
    return usd * samples_per_second / high, usd * samples_per_second / low


@dataclass(frozen=True)
class Plan:
    """What is trained and what an hour costs.

    Attributes:
        price_per_hour: Dollars for one hour of the GPU.
        dataset_size: Samples in the data set.
        epochs: Passes over the data set in one run; None counts as one.
        runs_per_year: Training runs in a year.
    """

    price_per_hour: float | None = None
    dataset_size: int | None = None
    epochs: int | None = None
    runs_per_year: float | None = None


@dataclass(frozen=True)
class RunCost:
    """What one run costs at one throughput.

    Attributes:
        samples_per_second: The throughput that everything else follows from.
        hours_per_run: Hours of one run.
        usd_per_run: Dollars of one run.
        usd_per_year: Dollars of a year's runs.
        usd_per_million_samples: Dollars for a million samples; needs no data set size.
    """

    samples_per_second: float | None = None
    hours_per_run: float | None = None
    usd_per_run: float | None = None
    usd_per_year: float | None = None
    usd_per_million_samples: float | None = None


@dataclass(frozen=True)
class Savings:
    """What moving from the current batch to the optimal one saves; 0 where it cannot be told.

    Attributes:
        current: Cost at the current batch.
        optimal: Cost at the optimal batch.
        hours_per_run: Hours saved in a run.
        usd_per_run: Dollars saved in a run.
        usd_per_year: Dollars saved in a year.
    """

    current: RunCost = RunCost()
    optimal: RunCost = RunCost()
    hours_per_run: float | None = None
    usd_per_run: float | None = None
    usd_per_year: float | None = None


def run_cost(plan: Plan, samples_per_second: float | None) -> RunCost:
    """Work out what a run costs at a throughput.

    Example:
        >>> run_cost(Plan(price_per_hour=2.0, dataset_size=360_000), 100.0).usd_per_run
        2.0
    """
    samples = samples_per_run(plan.dataset_size, plan.epochs)
    hours = hours_for(samples, samples_per_second)
    usd = usd_for(hours, plan.price_per_hour)
    million = usd_for(hours_for(MILLION, samples_per_second), plan.price_per_hour)
    return RunCost(
        samples_per_second=samples_per_second,
        hours_per_run=hours,
        usd_per_run=usd,
        usd_per_year=usd_per_year(usd, plan.runs_per_year),
        usd_per_million_samples=million,
    )


def savings(
    plan: Plan,
    current_samples_per_second: float | None,
    optimal_samples_per_second: float | None,
    *,
    is_clear: bool = True,
) -> Savings:
    """Compare a run at the current batch with one at the optimal batch.

    Args:
        plan: What is trained and what an hour costs.
        current_samples_per_second: Throughput at the current batch.
        optimal_samples_per_second: Throughput at the optimal batch.
        is_clear: Whether the two throughputs can be told apart; else what is saved is 0.
    """
    current = run_cost(plan, current_samples_per_second)
    optimal = run_cost(plan, optimal_samples_per_second)

    def saved(name: str) -> float | None:
        less = difference(getattr(current, name), getattr(optimal, name))
        return less if is_clear or less is None else 0.0

    return Savings(
        current=current,
        optimal=optimal,
        hours_per_run=saved("hours_per_run"),
        usd_per_run=saved("usd_per_run"),
        usd_per_year=saved("usd_per_year"),
    )


@dataclass(frozen=True)
class Offer:
    """One GPU that could do the training.

    Attributes:
        name: Key or name of the GPU.
        usd_per_hour: Its price; None where unknown.
        samples_per_second: Its throughput at the batch that it would run.
        batch_size: That batch.
    """

    name: str
    usd_per_hour: float | None
    samples_per_second: float | None
    batch_size: int | None = None


@dataclass(frozen=True)
class PricedOffer:
    """An offer with what a run on it costs.

    Attributes:
        offer: The GPU.
        cost: What a run costs on it.
        efficient: Whether no other offer is at least as cheap and as fast, and better in one.
    """

    offer: Offer
    cost: RunCost
    efficient: bool


def compare_offers(plan: Plan, offers: Iterable[Offer]) -> tuple[PricedOffer, ...]:
    """Price the same training on several GPUs, cheapest first, unknown last.

    The plan's own price is not used: each offer brings its own. Without a data set size,
    offers are compared by the cost and time of a million samples.
    """
    rows = [
        (offer, run_cost(dataclasses.replace(plan, price_per_hour=offer.usd_per_hour),
                         offer.samples_per_second))
        for offer in offers
    ]  # fmt: skip
    points = [_point(cost) for _, cost in rows]
    priced = [
        PricedOffer(offer, cost, efficient)
        for (offer, cost), efficient in zip(rows, pareto_efficient(points), strict=True)
    ]
    return tuple(sorted(priced, key=_by_cost))


def pareto_efficient(points: Sequence[tuple[float | None, float | None]]) -> list[bool]:
    """Say of each (cost, time) point whether no other point beats it.

    A point with an unknown coordinate is never efficient, and beats nothing.

    Example:
        >>> pareto_efficient([(1, 9), (2, 5), (3, 6), (None, 1)])
        [True, True, False, False]
    """
    known = [(cost, time) for cost, time in points if cost is not None and time is not None]
    return [
        cost is not None
        and time is not None
        and not any(c <= cost and t <= time and (c < cost or t < time) for c, t in known)
        for cost, time in points
    ]


def _point(cost: RunCost) -> tuple[float | None, float | None]:
    time = 1 / cost.samples_per_second if cost.samples_per_second else None
    return cost.usd_per_million_samples, time


def _by_cost(row: PricedOffer) -> tuple[bool, float, str]:
    usd = row.cost.usd_per_million_samples
    return usd is None, usd or 0.0, row.offer.name
