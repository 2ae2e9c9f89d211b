"""What renting a GPU costs: one row of prices.csv is what one provider asked on one day.

Which of several prices the catalogue shows:

1. Of each provider, the newest.
2. The on-demand price of the provider that has most GPUs of the catalogue, so that as many prices
   as possible are one provider's.
3. Else the lowest on-demand price of the others, else the lowest of a marketplace, where hosts ask
   what they like and which is the lowest changes by the hour.

Prices are of one GPU, without tax, storage and traffic. Every row carries its source and the date
on which it was seen; no price is from memory.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

ON_DEMAND, MARKETPLACE = "on-demand", "marketplace"
KINDS = (ON_DEMAND, MARKETPLACE)


@dataclass(frozen=True)
class Price:
    """What one provider asked for one GPU.

    Attributes:
        gpu: Key of the catalogue.
        provider: Who rents it out.
        kind: "on-demand": the provider's list price; "marketplace": the lowest ask of its hosts.
        usd_per_hour: Price of one GPU.
        product: What the provider calls it.
        source: Where the price was seen.
        observed_at: When, as YYYY-MM-DD or YYYY-MM.
    """

    gpu: str
    provider: str
    kind: str
    usd_per_hour: float
    product: str
    source: str
    observed_at: str

    @property
    def described(self) -> str:
        """Whose price it is, of what, and where it was seen; the provider and kind come first."""
        return f"{self.provider} {self.kind}, {self.product}; seen at {self.source}"


@lru_cache(maxsize=1)
def all_prices() -> tuple[Price, ...]:
    """Return all rows of the file, older ones too."""
    file = resources.files("memorymark.gpus").joinpath("prices.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        return tuple(
            Price(**{**row, "usd_per_hour": float(row["usd_per_hour"])})
            for row in csv.DictReader(lines)
        )


def prices_of(gpu: str) -> list[Price]:
    """Return the newest price of each provider for a GPU, the catalogue's choice first."""
    newest = [price for price in _newest() if price.gpu == gpu]
    main = main_provider()
    return sorted(
        newest,
        key=lambda price: (KINDS.index(price.kind), price.provider != main, price.usd_per_hour),
    )


def price_of(gpu: str) -> Price | None:
    """Return the price that the catalogue shows for a GPU; None where none is known."""
    return next(iter(prices_of(gpu)), None)


@lru_cache(maxsize=1)
def main_provider() -> str:
    """Return the provider with on-demand prices for most GPUs of the catalogue."""
    counts = Counter(price.provider for price in _newest() if price.kind == ON_DEMAND)
    return counts.most_common(1)[0][0]


@lru_cache(maxsize=1)
def _newest() -> tuple[Price, ...]:
    rows = sorted(all_prices(), key=lambda price: price.observed_at)
    return tuple({(price.gpu, price.provider, price.kind): price for price in rows}.values())
