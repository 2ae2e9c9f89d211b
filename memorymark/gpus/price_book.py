"""The price of a GPU: the user's own, else a live one, else the list's. One place decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from memorymark.gpus.catalogue import Gpu
from memorymark.gpus.price_list import Price, price_of
from memorymark.records.comparison import GIVEN
from memorymark.records.prices import Quote


@dataclass(frozen=True)
class PriceBook:
    """Prices to choose from.

    Attributes:
        given: Dollars per hour by key of the catalogue, from the user: they come first.
        kind: The kind of price that the user wants; None takes what is no spot price.
        live: Prices that were just fetched; None where nobody asked for them.
        problem: Why none could be fetched, in a sentence.
    """

    given: Mapping[str, float] = field(default_factory=dict)
    kind: str | None = None
    live: Sequence[Price] | None = None
    problem: str = ""

    def quote(self, gpu: Gpu) -> Quote:
        """Return the price of a GPU of the catalogue."""
        if gpu.key in self.given:
            return Quote(self.given[gpu.key], GIVEN)
        price = self._live(gpu.key)
        if price is None and self.kind is None:
            return Quote(gpu.usd_per_hour, gpu.price_source, gpu.price_observed_at)
        price = price or price_of(gpu.key, self.kind)
        return Quote(price.usd_per_hour, price.described, price.observed_at) if price else Quote()

    def priced(self, gpu: Gpu) -> Gpu:
        """Return a GPU at its price."""
        quote = self.quote(gpu)
        return dataclasses.replace(
            gpu,
            usd_per_hour=quote.usd_per_hour,
            price_source=quote.source,
            price_observed_at=quote.observed_at,
        )

    def told(self, gpus: Sequence[Gpu]) -> Iterator[str]:
        """Yield what to tell of the prices of GPUs, in sentences, where anything was asked for."""
        if self.problem:
            yield self.problem
        if self.live is None and self.kind is None:
            return
        own = [gpu for gpu in gpus if gpu.key not in self.given]
        known = [gpu for gpu in own if self.quote(gpu).usd_per_hour is not None]
        kept = [gpu.key for gpu in known if self.live and self._live(gpu.key) is None]
        if kept:
            yield f"No live price was found for {', '.join(kept)}: it is the one of the list."
        missing = [gpu.key for gpu in own if gpu not in known]
        if missing:
            kind = f"{self.kind} price" if self.kind else "price"
            yield (
                f"No {kind} is known for {', '.join(missing)}. Give one with --prices "
                f"{missing[0]}:USD."
            )

    def _live(self, key: str) -> Price | None:
        return price_of(key, self.kind, self.live) if self.live else None
