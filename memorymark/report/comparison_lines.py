"""A comparison of GPUs as lines of text: the cheapest first, then what it is of, then all."""

from __future__ import annotations

from collections.abc import Container

from memorymark.records.comparison import ComparedGpu, Comparison
from memorymark.records.request import Request
from memorymark.report.price_words import price_kind, price_owner
from memorymark.report.settings_phrase import comparison_phrase
from memorymark.units import count, gib, hours, likely_hours, likely_rate, likely_usd, rate, usd

DOMINATED = "slower and dearer than another GPU"


def cheapest(comparison: Comparison) -> ComparedGpu | None:
    """Return the GPU with the cheapest samples; None where no cost is known."""
    known = [row for row in comparison.gpus if row.cost.usd_per_million_samples is not None]
    return min(known, key=lambda row: row.cost.usd_per_million_samples, default=None)


def cheapest_sentence(comparison: Comparison, edited: Container[str] = ()) -> str:
    """Say which GPU trains cheapest, at which batch, for how much and at whose price.

    Where others have prices of another kind, it says so: the order may come from that alone.

    Args:
        comparison: The comparison.
        edited: Keys of the GPUs whose price was typed in.
    """
    best = cheapest(comparison)
    if best is None:
        return "No GPU has both a price and a throughput, so none is known to be the cheapest."
    per_run = ""
    if best.cost.usd_per_run is not None:
        per_run = f", {_dollars(best, 'usd_per_run')} and {_time(best)} per run"
    return (
        f"Cheapest: {best.name} at batch {count(best.optimal_batch_size)}, "
        f"{_dollars(best, 'usd_per_million_samples')} per million samples{per_run} "
        f"({best.source} throughput), at {_whose_price(best, best.gpu in edited)}"
        f"{_against(comparison, best, edited)}."
    )


def kinds_sentence(comparison: Comparison, edited: Container[str] = ()) -> str | None:
    """Name the cheapest GPU of each kind of price; None where all are of one kind.

    Args:
        comparison: The comparison.
        edited: Keys of the GPUs whose price was typed in, which is of no kind.
    """
    kinds = _by_kind(comparison, edited)
    if len(kinds) < 2:
        return None
    named = [
        f"{kind} for {len(rows)} GPU{'s' if len(rows) != 1 else ''}, cheapest {rows[0].name} at "
        f"{_dollars(rows[0], 'usd_per_million_samples')} per million samples"
        for kind, rows in kinds.items()
    ]
    return f"Prices of different kinds are compared: {'; '.join(named)}."


def comparison_lines(comparison: Comparison, asked: Request | None = None) -> list[str]:
    """Write a comparison as lines of text."""
    return [
        cheapest_sentence(comparison),
        comparison_phrase(comparison, asked),
        "",
        *(_row(row) for row in comparison.gpus),
        *(f"Note: {text}" for text in _notes(comparison)),
    ]


def overlap_sentences(comparison: Comparison) -> list[str]:
    """Name the GPUs that may be as cheap as the cheapest: the bands of their costs overlap."""
    best = cheapest(comparison)
    if best is None or best.usd_per_million_band is None:
        return []
    _, most = best.usd_per_million_band
    near = [
        row.name
        for row in comparison.gpus
        if row is not best and row.usd_per_million_band and row.usd_per_million_band[0] < most
    ]
    if not near:
        return [f"{best.name} is the cheapest wherever in its band each throughput lies."]
    return [
        f"The bands of the estimates overlap: {', '.join(near)} may train as cheaply as "
        f"{best.name}, or cheaper."
    ]


def _by_kind(comparison: Comparison, edited: Container[str]) -> dict[str, list[ComparedGpu]]:
    """Return the GPUs with a cost by the kind of their price, cheapest first."""
    known = [row for row in comparison.gpus if row.cost.usd_per_million_samples is not None]
    kinds: dict[str, list[ComparedGpu]] = {}
    for row in sorted(known, key=lambda row: row.cost.usd_per_million_samples):
        kind = None if row.gpu in edited else price_kind(row.price_source)
        if kind is not None:
            kinds.setdefault(kind, []).append(row)
    return kinds


def _against(comparison: Comparison, best: ComparedGpu, edited: Container[str]) -> str:
    kinds = _by_kind(comparison, edited)
    others = [kind for kind, rows in kinds.items() if best not in rows]
    if len(kinds) < 2:
        return ""
    return f", compared with {' and '.join(others)} prices"


def is_dominated(row: ComparedGpu) -> bool:
    """Whether another GPU is known to be as cheap and as fast, and better in one."""
    return row.cost.usd_per_million_samples is not None and not row.efficient


def _notes(comparison: Comparison) -> list[str]:
    kinds = kinds_sentence(comparison)
    mixed = [] if kinds is None else [kinds]
    return [*mixed, *overlap_sentences(comparison), *comparison.findings]


def _row(row: ComparedGpu) -> str:
    if row.max_batch_size is None:
        return f"{row.name} ({row.source}): no batch size found."
    parts = [
        f"largest batch {count(row.max_batch_size)}",
        f"recommended {count(row.optimal_batch_size)}",
        f"{gib(row.memory_bytes)} of {gib(row.capacity_bytes)}",
        f"{rate(row.samples_per_second)} samples/s{likely_rate(row.speed_band)}",
        f"{usd(row.usd_per_hour)} per hour ({_price_source(row)})",
        f"{_dollars(row, 'usd_per_million_samples')} per million samples",
        f"{_dollars(row, 'usd_per_run')} and {_time(row)} per run",
        f"{_dollars(row, 'usd_per_year')} per year",
        *([DOMINATED] if is_dominated(row) else []),
    ]
    return f"{row.name} ({row.source}): {', '.join(parts)}."


def _dollars(row: ComparedGpu, name: str) -> str:
    cost = getattr(row.cost, name)
    return f"{usd(cost)}{likely_usd(row.likely(cost))}"


def _time(row: ComparedGpu) -> str:
    taken = row.cost.hours_per_run
    return f"{hours(taken)}{likely_hours(row.likely(taken))}"


def _whose_price(row: ComparedGpu, is_yours: bool) -> str:
    """Name a price with its owner, as in "$0.06 per hour (Vast.ai marketplace)"."""
    owner = "your price" if is_yours else price_owner(row.price_source) or "price given"
    return f"{usd(row.usd_per_hour)} per hour ({owner})"


def _price_source(row: ComparedGpu) -> str:
    if row.usd_per_hour is None:
        return "no price known"
    return ", ".join(filter(None, (row.price_source, row.price_observed_at))) or "price given"
