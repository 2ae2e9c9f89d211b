"""The cost of the same training on several GPUs: data only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memorymark.records.analysis import Analysis
from memorymark.records.codec import Record
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Offer, Plan, PricedOffer, RunCost, compare_offers
from memorymark.records.trial import Source


@dataclass(frozen=True)
class ComparedGpu:
    """One GPU of a comparison, at its optimal batch.

    Attributes:
        gpu: Key in the GPU catalogue.
        name: Name for people.
        max_batch_size: The largest batch that trains on it; None where none does.
        optimal_batch_size: The batch that it would run.
        memory_bytes: Memory at that batch.
        capacity_bytes: What a trial can use on it.
        samples_per_second: Throughput at that batch; None where unknown.
        usd_per_hour: Its price; None where unknown.
        price_source: Where the price was seen.
        price_observed_at: When.
        cost: What a run costs on it.
        efficient: Whether no other GPU is at least as cheap and as fast, and better in one.
        source: Where its figures come from: measured or simulated.
        run_id: The run in which they were measured; None where they are simulated.
        assumptions: What was allowed for without knowing, one sentence each.
    """

    gpu: str
    name: str
    max_batch_size: int | None
    optimal_batch_size: int | None
    memory_bytes: int | None
    capacity_bytes: int | None
    samples_per_second: float | None
    usd_per_hour: float | None
    price_source: str | None
    price_observed_at: str | None
    cost: RunCost
    efficient: bool
    source: str = "simulated"
    run_id: str | None = None
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison(Record):
    """The same training on several GPUs, cheapest first, unknown last.

    Attributes:
        model_name: Name of what is trained.
        config: How it is trained.
        plan: What is trained and how often; its price is not used.
        gpus: One row for each GPU.
        findings: What the user should know, one sentence each.
        source: Where the figures come from.
    """

    model_name: str
    config: TrainingConfig
    plan: Plan
    gpus: tuple[ComparedGpu, ...]
    findings: tuple[str, ...] = ()
    source: str = "simulated"


def comparison_of(analyses: Sequence[Analysis], plan: Plan) -> Comparison:
    """Put analyses of one training on several GPUs of the catalogue side by side."""
    by_key = {analysis.target.gpu_key or "": analysis for analysis in analyses}
    offers = compare_offers(plan, [_offer(key, each) for key, each in by_key.items()])
    first = analyses[0]
    return Comparison(
        model_name=first.workload,
        config=first.config,
        plan=plan,
        gpus=tuple(_row(offer, by_key[offer.offer.name]) for offer in offers),
        findings=tuple(_findings(analyses)),
    )


def _offer(key: str, analysis: Analysis) -> Offer:
    optimal = analysis.optimal
    price = analysis.options.price_per_hour
    return Offer(key, price, optimal.samples_per_second, optimal.batch_size)


def _row(priced: PricedOffer, analysis: Analysis) -> ComparedGpu:
    from memorymark.gpus.catalogue import load_catalogue

    gpu = load_catalogue()[priced.offer.name]
    trial, source = analysis.optimal.trial, analysis.target.source
    return ComparedGpu(
        gpu=gpu.key,
        name=gpu.name,
        max_batch_size=analysis.max_batch_size,
        optimal_batch_size=analysis.optimal.batch_size,
        memory_bytes=analysis.optimal.memory_bytes,
        capacity_bytes=analysis.capacity_bytes,
        samples_per_second=priced.offer.samples_per_second,
        usd_per_hour=priced.offer.usd_per_hour,
        price_source=gpu.price_source,
        price_observed_at=gpu.price_observed_at,
        cost=priced.cost,
        efficient=priced.efficient,
        source=str(source),
        run_id=analysis.run_id if source is Source.MEASURED else None,
        assumptions=trial.assumptions if trial else (),
    )


def _findings(analyses: Sequence[Analysis]) -> list[str]:
    found = []
    for analysis in analyses:
        if analysis.nothing_fits:
            found.append(f"{analysis.target.name}: not even the smallest batch fits.")
        elif not analysis.complete:
            found.append(f"{analysis.target.name}: {analysis.stopped_by}")
    return found
