"""Prices of GPUs as people give them: a10:0.75,l4:0.8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from memorymark.errors import InvalidValue
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.option import options_of, split_names

Prices = tuple[tuple[str, float], ...]
ACCEPTED = "dollars per hour by GPU, such as a10:0.75,l4:0.8"


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


def _pair(part: str) -> tuple[str, float]:
    name, colon, price = part.rpartition(":")
    if not colon or not name.strip():
        raise InvalidValue("prices", part, ACCEPTED)
    option = options_of(AnalysisOptions)["price_per_hour"]
    try:
        return name.strip().lower(), option.check(float(price))
    except (ValueError, InvalidValue):
        raise InvalidValue("prices", part, f"{ACCEPTED}; a price is {option.accepted}") from None
