"""The cost of the same training on several GPUs: data only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from memorymark.records.codec import Record
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Offer, Plan, RunCost, compare_offers, cost_band
from memorymark.records.prices import Quote

GIVEN = "given"
"""Source of a price that the user gave."""


_NO_QUOTES: Mapping[str, Quote] = MappingProxyType({})


@dataclass(frozen=True)
class ComparedGpu:
    """One GPU of a comparison, at its optimal batch.

    Attributes:
        gpu: Key in the GPU catalogue.
        name: Name for people.
        max_batch_size: The largest batch that trains on it; None where none does.
        optimal_batch_size: The batch that it would run.
        memory_bytes: Memory at that batch.
        capacity_bytes: What a trial can use on it.
        samples_per_second: Throughput at that batch; None where unknown.
        usd_per_hour: Its price; None where unknown.
        price_source: Where the price was seen.
        price_observed_at: When.
        cost: What a run costs on it.
        efficient: Whether no other GPU is at least as cheap and as fast, and better in one.
        source: Where its figures come from: measured or simulated.
        run_id: The run in which they were measured; None where they are simulated.
        assumptions: What was allowed for without knowing, one sentence each.
        samples_per_second_low: Where the throughput is an estimate, the least that is likely.
        samples_per_second_high: The most that is likely.
    """

    gpu: str
    name: str
    max_batch_size: int | None
    optimal_batch_size: int | None
    memory_bytes: int | None
    capacity_bytes: int | None
    samples_per_second: float | None
    usd_per_hour: float | None
    price_source: str | None
    price_observed_at: str | None
    cost: RunCost
    efficient: bool
    source: str = "simulated"
    run_id: str | None = None
    assumptions: tuple[str, ...] = ()
    samples_per_second_low: float | None = None
    samples_per_second_high: float | None = None

    json_optional: ClassVar[tuple[str, ...]] = (
        "samples_per_second_low", "samples_per_second_high",
    )  # fmt: skip

    @property
    def speed_band(self) -> tuple[float, float] | None:
        """The least and the most samples a second that are likely; None where there is no band."""
        low, high = self.samples_per_second_low, self.samples_per_second_high
        return None if low is None or high is None else (low, high)

    @property
    def usd_per_million_band(self) -> tuple[float, float] | None:
        """The least and the most that a million samples are likely to cost."""
        return self.likely(self.cost.usd_per_million_samples)

    def likely(self, figure: float | None) -> tuple[float, float] | None:
        """The least and the most that is likely of one of its costs or times."""
        return cost_band(figure, self.samples_per_second, self.speed_band)

    @property
    def offer(self) -> Offer:
        """What is priced of it."""
        return Offer(self.gpu, self.usd_per_hour, self.samples_per_second, self.optimal_batch_size)


@dataclass(frozen=True)
class Comparison(Record):
    """The same training on several GPUs, cheapest first, unknown last.

    Attributes:
        model_name: Name of what is trained.
        config: How it is trained.
        plan: What is trained and how often; its price is not used.
        gpus: One row for each GPU.
        findings: What the user should know, one sentence each.
        source: Where the figures come from.
    """

    model_name: str
    config: TrainingConfig
    plan: Plan
    gpus: tuple[ComparedGpu, ...]
    findings: tuple[str, ...] = ()
    source: str = "simulated"

    def priced(
        self, plan: Plan, prices: Mapping[str, float], quotes: Mapping[str, Quote] = _NO_QUOTES
    ) -> Comparison:
        """Return the comparison for another plan and other prices, cheapest first.

        Args:
            plan: What is trained and how often; its price is not used.
            prices: Dollars per hour by key of the GPU catalogue, where they differ.
            quotes: Prices of others, live or of one kind, in place of the comparison's own.
        """
        quotes = {**quotes, **{gpu: Quote(price, GIVEN) for gpu, price in prices.items()}}
        rows = {row.gpu: _at_price(row, quotes.get(row.gpu)) for row in self.gpus}
        offers = compare_offers(plan, [row.offer for row in rows.values()])
        gpus = tuple(
            dataclasses.replace(rows[offer.offer.name], cost=offer.cost, efficient=offer.efficient)
            for offer in offers
        )
        return dataclasses.replace(self, plan=plan, gpus=gpus)


def _at_price(row: ComparedGpu, quote: Quote | None) -> ComparedGpu:
    if quote is None:
        return row
    return dataclasses.replace(
        row,
        usd_per_hour=quote.usd_per_hour,
        price_source=quote.source,
        price_observed_at=quote.observed_at,
    )
