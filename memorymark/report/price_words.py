"""Says whose prices a comparison is made with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from memorymark.records.comparison import GIVEN
from memorymark.records.prices import PriceKind

_YOURS = "your price"


def price_owner(price_source: str | None) -> str | None:
    """Return provider and kind of a price from where it was seen.

    Example:
        >>> price_owner("RunPod on-demand, A100 SXM 40GB; seen at runpod.io")
        'RunPod on-demand'
    """
    if price_source is None:
        return None
    if price_source == GIVEN:
        return _YOURS
    return price_source.partition(",")[0].removesuffix(" price")


def price_kind(price_source: str | None) -> str | None:
    """Return the kind of a price from where it was seen; None for the user's own, and unknown.

    Example:
        >>> price_kind("Vast.ai marketplace, T4 16GB; seen at vast.ai"), price_kind("given")
        ('marketplace', None)
    """
    owner = price_owner(price_source) or ""
    return next((str(kind) for kind in PriceKind if owner.endswith(kind)), None)


def price_words(
    rows: Iterable[Mapping[str, Any]], edited: Iterable[str] = (), how: str = ""
) -> str:
    """Say in one sentence whose the prices are, when they were seen, and which are missing.

    Args:
        rows: The GPUs of a comparison's record.
        edited: Keys of those whose price was typed in.
        how: How to give a price that is missing.
    """
    yours = set(edited)
    theirs = [row for row in rows if row["gpu"] not in yours]
    priced = [row for row in theirs if row["usd_per_hour"] is not None]
    missing = [row["name"].removeprefix("NVIDIA ") for row in theirs if row not in priced]
    owners = Counter(price_owner(row["price_source"]) or "unknown" for row in priced)
    owners += Counter({_YOURS: len(yours)})
    parts = [f"{owner} for {_gpus(count)}" for owner, count in owners.most_common()]
    said = f"Prices: {', '.join(parts) or 'none known'}{_seen(priced)}."
    if len(owners) > 1:
        said += " Compare GPUs of one provider first: providers differ in what a price includes."
    if missing:
        said += f" No price for {', '.join(missing)}{how and f': {how}'}."
    return said


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' if count != 1 else ''}"


def _seen(rows: list[Mapping[str, Any]]) -> str:
    dates = sorted({row["price_observed_at"] for row in rows if row["price_observed_at"]})
    if not dates:
        return ""
    return f", seen {dates[0]}" if len(dates) == 1 else f", seen {dates[0]} to {dates[-1]}"
