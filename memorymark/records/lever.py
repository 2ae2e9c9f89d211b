"""What would make room: each change of a training with what it comes to. Data only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.codec import Origin, Record, same
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Plan, cost_band, run_cost
from memorymark.records.trial import Source, Target


class _WithBands:
    """Throughput and cost that may be estimates, with the band in which each is likely to lie."""

    json_optional: ClassVar[tuple[str, ...]] = (
        "samples_per_second_low", "samples_per_second_high",
    )  # fmt: skip

    samples_per_second: float | None
    cost_per_million_samples: float | None
    samples_per_second_low: float | None
    samples_per_second_high: float | None

    @property
    def speed_band(self) -> tuple[float, float] | None:
        """The least and the most samples a second that are likely; None where there is no band."""
        low, high = self.samples_per_second_low, self.samples_per_second_high
        return None if low is None or high is None else (low, high)

    @property
    def cost_band(self) -> tuple[float, float] | None:
        """The least and the most that a million samples are likely to cost."""
        return cost_band(self.cost_per_million_samples, self.samples_per_second, self.speed_band)


@dataclass(frozen=True)
class Lever(_WithBands):
    """One change of a training, or several at once, with what the training then comes to.

    Attributes:
        name: The change in words, as in "Gradient checkpointing".
        changes: Fields of TrainingConfig with their new values, and `batch_size` where the batch
            of one forward pass changes too.
        fits: Whether the batch fits with it; None where it was not tried.
        peak_reserved_bytes: Peak of reserved memory with it; None where it does not fit.
        saved_bytes: Memory that it saves; negative where it takes more, None where unknown.
        max_batch_size: The largest batch that fits with it; None where none does.
        samples_per_second: Throughput with it, at its batch; None where unknown.
        cost_per_million_samples: Dollars for a million samples at that throughput.
        notes: What it may do to accuracy or reproducibility, with a source by name.
        snippet: The lines of code that make the change.
        batch_size: Samples in one forward pass with it.
        memory_bytes: Memory that it needs: reserved where it fits, else the least in which the
            step would run.
        efficient: Whether no other lever takes as little memory and is as fast, and better in one.
        samples_per_second_low: Where the throughput is an estimate, the least that is likely.
        samples_per_second_high: The most that is likely.
    """

    name: str
    changes: Mapping[str, Any]
    fits: bool | None = None
    peak_reserved_bytes: int | None = None
    saved_bytes: int | None = None
    max_batch_size: int | None = None
    samples_per_second: float | None = None
    cost_per_million_samples: float | None = None
    notes: str = ""
    snippet: str = ""
    batch_size: int | None = None
    memory_bytes: int | None = None
    efficient: bool = False
    samples_per_second_low: float | None = None
    samples_per_second_high: float | None = None

    def priced(self, price_per_hour: float | None) -> Lever:
        """Return the lever at another price of the card."""
        cost = run_cost(Plan(price_per_hour), self.samples_per_second).usd_per_million_samples
        return dataclasses.replace(self, cost_per_million_samples=cost)

    @property
    def config_changes(self) -> dict[str, Any]:
        """The changes without that of the batch size."""
        return {name: value for name, value in self.changes.items() if name != "batch_size"}

    def config_from(self, before: TrainingConfig) -> TrainingConfig:
        """Return how it trains, from how it trained before."""
        return dataclasses.replace(before, **self.config_changes)


@dataclass(frozen=True)
class MissingLever:
    """A change that this training or this card does not take.

    Attributes:
        name: The change in words.
        changes: Fields of TrainingConfig with their new values.
        reason: Why it does not, in a sentence.
    """

    name: str
    changes: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Card(_WithBands):
    """A GPU of the catalogue, tried with the training as it is.

    Attributes:
        gpu: Key in the GPU catalogue.
        name: Name for people.
        total_bytes: Its memory.
        usd_per_hour: Its price; None where unknown.
        fits: Whether the batch fits on it; None where it could not be simulated.
        memory_bytes: Memory that the batch needs on it.
        samples_per_second: Throughput on it; None where unknown.
        cost_per_million_samples: Dollars for a million samples.
        samples_per_second_low: Where the throughput is an estimate, the least that is likely.
        samples_per_second_high: The most that is likely.
    """

    gpu: str
    name: str
    total_bytes: int
    usd_per_hour: float | None
    fits: bool | None
    memory_bytes: int | None = None
    samples_per_second: float | None = None
    cost_per_million_samples: float | None = None
    samples_per_second_low: float | None = None
    samples_per_second_high: float | None = None


@dataclass(frozen=True)
class LeverReport(Record):
    """All levers of one training on one card.

    Attributes:
        workload: Name of what is trained.
        config: How it is trained now.
        target: The card that is simulated.
        options: The current batch, the search and the costs.
        before: The training as it is.
        levers: What would make room or save money, the best first; none that makes both worse.
        unavailable: What this training or this card does not take.
        make_it_fit: Where the batch does not fit: the cheapest set of levers that makes it fit,
            step by step, each with all changes up to it; empty where it fits.
        make_it_fit_ended: Whether the search for it was ended before all sets were tried or ruled
            out.
        smallest_card: The card with the least memory on which the training fits as it is.
        cheapest_card: The card with the lowest price per hour on which it does.
        cards: All cards that were tried for the two.
        findings: What the user should know, one sentence each.
        elapsed_seconds: Seconds that it took.
        run_id: Short hexadecimal name of the run.
        created_at: When it began, in ISO 8601, UTC.
        software: Versions of what ran.
    """

    json_optional: ClassVar[tuple[str, ...]] = ("make_it_fit_ended",)
    json_keys: ClassVar[Mapping[str, Origin]] = {
        "model": "workload",
        "config": "config",
        "device": "target.name",
        "source": "target.source",
        "batch_size": "options.current_batch_size",
        **same("levers", "make_it_fit", "make_it_fit_ended", "before", "unavailable"),
        **same("smallest_card", "cheapest_card", "cards", "findings"),
        **same("options", "target", "elapsed_seconds", "run_id", "created_at", "software"),
    }

    workload: str
    config: TrainingConfig
    target: Target
    options: AnalysisOptions
    before: Lever
    levers: tuple[Lever, ...] = ()
    unavailable: tuple[MissingLever, ...] = ()
    make_it_fit: tuple[Lever, ...] = ()
    make_it_fit_ended: bool = False
    smallest_card: Card | None = None
    cheapest_card: Card | None = None
    cards: tuple[Card, ...] = ()
    findings: tuple[str, ...] = ()
    elapsed_seconds: float | None = None
    run_id: str = ""
    created_at: str = ""
    software: dict[str, str] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        """The batch that is run today."""
        return self.options.current_batch_size

    @property
    def source(self) -> Source:
        """Where the figures come from: levers are simulated."""
        return self.target.source

    def priced(self, price_per_hour: float | None) -> LeverReport:
        """Return the report at another price of its card; other cards keep theirs."""
        return dataclasses.replace(
            self,
            options=dataclasses.replace(self.options, price_per_hour=price_per_hour),
            before=self.before.priced(price_per_hour),
            levers=tuple(lever.priced(price_per_hour) for lever in self.levers),
            make_it_fit=tuple(lever.priced(price_per_hour) for lever in self.make_it_fit),
        )
