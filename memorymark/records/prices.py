"""Prices of GPUs as people give them: a10:0.75,l4:0.8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from memorymark.errors import InvalidValue
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.option import options_of, split_names

Prices = tuple[tuple[str, float], ...]
LIVE = "live"
ACCEPTED = "dollars per hour by GPU, such as a10:0.75,l4:0.8"


class PriceKind(StrEnum):
    """Kinds of prices, which are never mixed.

    `on-demand` is a provider's list price, `marketplace` the lowest ask of its hosts, and `spot`
    the price of machines that the provider may take back at any time.
    """

    ON_DEMAND = "on-demand"
    MARKETPLACE = "marketplace"
    SPOT = "spot"


@dataclass(frozen=True)
class Quote:
    """What an hour of a GPU costs, and who says so; None where it is not known.

    Attributes:
        usd_per_hour: The price.
        source: Whose price it is and where it was seen.
        observed_at: When.
    """

    usd_per_hour: float | None = None
    source: str | None = None
    observed_at: str | None = None


def read_prices(given: str | Mapping[str, float] | Iterable[tuple[str, float]]) -> Prices:
    """Read prices from text, or from pairs, in the order of the names; the last of a GPU counts.

    Raises:
        InvalidValue: A part is no name and price, or the price is out of range.

    Example:
        >>> read_prices("l4:0.8, a10:0.75")
        (('a10', 0.75), ('l4', 0.8))
    """
    if isinstance(given, str):
        return tuple(sorted(dict(_pair(part) for part in split_names(given)).items()))
    pairs = given.items() if isinstance(given, Mapping) else given
    check = options_of(AnalysisOptions)["price_per_hour"].check
    return tuple(sorted({str(name): check(price) for name, price in pairs}.items()))


def prices_text(prices: Mapping[str, float] | Iterable[tuple[str, float]]) -> str:
    """Write prices as they are read.

    Example:
        >>> prices_text({"l4": 0.8, "a10": 0.75})
        'a10:0.75,l4:0.8'
    """
    return ",".join(f"{name}:{price}" for name, price in read_prices(prices))


def without_live(given: str) -> tuple[str, bool]:
    """Return the prices in a text without the word `live`, and whether it was there.

    Example:
        >>> without_live("live,a10:0.75")
        ('a10:0.75', True)
    """
    parts = split_names(given)
    rest = [part for part in parts if part.lower() != LIVE]
    return ",".join(rest), len(rest) < len(parts)


def _pair(part: str) -> tuple[str, float]:
    name, colon, price = part.rpartition(":")
    if not colon or not name.strip():
        raise InvalidValue("prices", part, ACCEPTED)
    option = options_of(AnalysisOptions)["price_per_hour"]
    try:
        return name.strip().lower(), option.check(float(price))
    except (ValueError, InvalidValue):
        raise InvalidValue("prices", part, f"{ACCEPTED}; a price is {option.accepted}") from None
