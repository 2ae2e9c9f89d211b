"""The smallest card on which a training fits as it is, each card simulated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from memorymark.gpus.abilities import why_not
from memorymark.gpus.catalogue import Gpu
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Plan, run_cost
from memorymark.records.lever import Card
from memorymark.records.trial import Outcome, Trial

TryCard = Callable[[Gpu], Trial]


@dataclass(frozen=True)
class SmallestCards:
    """The cards that were found, and those tried on the way.

    Attributes:
        smallest: With the least memory; None where the training fits on none.
        cheapest: With the lowest price per hour; None where it fits on none with a price.
        tried: All that were tried.
    """

    smallest: Card | None
    cheapest: Card | None
    tried: tuple[Card, ...]


@dataclass
class _Cards:
    run: TryCard
    plan: Plan
    tried: dict[str, Card] = field(default_factory=dict)

    def first_that_fits(self, gpus: Iterable[Gpu]) -> Card | None:
        """Try cards in their order until one fits."""
        for gpu in gpus:
            if gpu.key not in self.tried:
                self.tried[gpu.key] = self._card(gpu)
            if self.tried[gpu.key].fits:
                return self.tried[gpu.key]
        return None

    def _card(self, gpu: Gpu) -> Card:
        trial = self.run(gpu)
        plan = dataclasses.replace(self.plan, price_per_hour=gpu.usd_per_hour)
        low, high = trial.speed_band or (None, None)
        return Card(
            gpu=gpu.key,
            name=gpu.name,
            total_bytes=gpu.total_bytes,
            usd_per_hour=gpu.usd_per_hour,
            fits=None if trial.outcome is Outcome.ERROR else trial.fits,
            memory_bytes=trial.memory_bytes,
            samples_per_second=trial.samples_per_second,
            cost_per_million_samples=run_cost(
                plan, trial.samples_per_second
            ).usd_per_million_samples,
            samples_per_second_low=low,
            samples_per_second_high=high,
        )


def smallest_cards(
    gpus: Iterable[Gpu], run: TryCard, config: TrainingConfig, plan: Plan
) -> SmallestCards:
    """Find the smallest card by memory, and the cheapest by the hour, on which a training fits.

    Args:
        gpus: The cards; those without units for the training's precision are passed over.
        run: Simulates the training on a card.
        config: How it is trained.
        plan: What costs are worked out for; each card has its own price.
    """
    able = [gpu for gpu in gpus if _is_able(gpu, config)]
    priced = [gpu for gpu in able if gpu.usd_per_hour is not None]
    cards = _Cards(run, plan)
    smallest = cards.first_that_fits(
        sorted(able, key=lambda gpu: (gpu.total_bytes, gpu.usd_per_hour or float("inf")))
    )
    cheapest = cards.first_that_fits(
        sorted(priced, key=lambda gpu: (gpu.usd_per_hour or 0.0, gpu.total_bytes))
    )
    return SmallestCards(smallest, cheapest, tuple(cards.tried.values()))


def _is_able(gpu: Gpu, config: TrainingConfig) -> bool:
    return why_not("precision", config.precision, "simulated", gpu) is None
