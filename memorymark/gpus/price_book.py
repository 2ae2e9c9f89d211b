"""The price of a GPU: the user's own, else a live one, else the list's. One place decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from memorymark.gpus.catalogue import Gpu
from memorymark.gpus.price_list import Price, price_of
from memorymark.records.comparison import GIVEN


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

    def priced(self, gpu: Gpu) -> Gpu:
        """Return a GPU at its price."""
        if gpu.key in self.given:
            return _at(gpu, self.given[gpu.key], GIVEN, None)
        price = self._found(gpu.key)
        if price is None:
            return _at(gpu, None, None, None)
        return _at(gpu, price.usd_per_hour, price.described, price.observed_at)

    def told(self, gpus: Sequence[Gpu]) -> Iterator[str]:
        """Yield what to tell of the prices of GPUs, in sentences, where anything was asked for."""
        if self.problem:
            yield self.problem
        if self.live is None and self.kind is None:
            return
        own = [gpu for gpu in gpus if gpu.key not in self.given]
        listed = [gpu for gpu in own if self.live and self._live(gpu.key) is None]
        kept = [gpu.key for gpu in listed if self._found(gpu.key)]
        if kept:
            yield f"No live price was found for {', '.join(kept)}: it is the one of the list."
        missing = [gpu.key for gpu in own if self._found(gpu.key) is None]
        if missing:
            kind = f"{self.kind} price" if self.kind else "price"
            yield (
                f"No {kind} is known for {', '.join(missing)}. Give one with --prices "
                f"{missing[0]}:USD."
            )

    def _found(self, key: str) -> Price | None:
        return self._live(key) or price_of(key, self.kind)

    def _live(self, key: str) -> Price | None:
        return price_of(key, self.kind, self.live) if self.live else None


def _at(gpu: Gpu, usd: float | None, source: str | None, observed_at: str | None) -> Gpu:
    return dataclasses.replace(
        gpu, usd_per_hour=usd, price_source=source, price_observed_at=observed_at
    )
