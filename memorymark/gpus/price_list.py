"""What renting a GPU costs: one row of prices.csv is what one provider asked on one day.

Which of several prices the catalogue shows:

1. Of each provider, the newest.
2. The on-demand price of the provider that has most GPUs of the catalogue, so that as many prices
   as possible are one provider's.
3. Else the lowest on-demand price of the others, else the lowest of a marketplace, where hosts ask
   what they like and which is the lowest changes by the hour.

Spot prices, of machines that the provider may take back at any time, are shown only where they are
asked for: kinds of prices are never mixed. Live prices are chosen by the same rule.

Prices are of one GPU, without tax, storage and traffic. Every row carries its source and the date
on which it was seen; no price is from memory.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from memorymark.records.prices import PriceKind

ON_DEMAND, MARKETPLACE, SPOT = (str(kind) for kind in PriceKind)
KINDS = (ON_DEMAND, MARKETPLACE, SPOT)
_UNASKED = (ON_DEMAND, MARKETPLACE)


@dataclass(frozen=True)
class Price:
    """What one provider asked for one GPU.

    Attributes:
        gpu: Key of the catalogue.
        provider: Who rents it out.
        kind: "on-demand": the provider's list price; "marketplace": the lowest ask of its hosts;
            "spot": its price for machines that it may take back.
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


def prices_of(
    gpu: str, kind: str | None = None, rows: Iterable[Price] | None = None
) -> list[Price]:
    """Return the newest price of each provider for a GPU, the one to show first.

    Args:
        gpu: Key of the catalogue.
        kind: The kind of price; None takes what is no spot price.
        rows: Prices to choose from; None takes those of the file.
    """
    newest = _newest() if rows is None else _newest_of(rows)
    main = main_provider() if rows is None else _main_provider(newest)
    kinds = _UNASKED if kind is None else (kind,)
    return sorted(
        (price for price in newest if price.gpu == gpu and price.kind in kinds),
        key=lambda price: (KINDS.index(price.kind), price.provider != main, price.usd_per_hour),
    )


def price_of(
    gpu: str, kind: str | None = None, rows: Iterable[Price] | None = None
) -> Price | None:
    """Return the price to show for a GPU, as `prices_of` has it; None where none is known."""
    return next(iter(prices_of(gpu, kind, rows)), None)


@lru_cache(maxsize=1)
def main_provider() -> str:
    """Return the provider with on-demand prices for most GPUs of the catalogue."""
    return _main_provider(_newest())


@lru_cache(maxsize=1)
def _newest() -> tuple[Price, ...]:
    return _newest_of(all_prices())


def _main_provider(rows: Iterable[Price]) -> str:
    """Return the provider with on-demand prices for most GPUs; "" where nobody has one."""
    found = {(price.provider, price.gpu) for price in rows if price.kind == ON_DEMAND}
    counts = Counter(provider for provider, _ in sorted(found))
    return counts.most_common(1)[0][0] if counts else ""


def _newest_of(rows: Iterable[Price]) -> tuple[Price, ...]:
    ordered = sorted(rows, key=lambda price: price.observed_at)
    return tuple({(price.gpu, price.provider, price.kind): price for price in ordered}.values())
