"""Compares analyses of the same training on several GPUs."""

from __future__ import annotations

from collections.abc import Sequence

from memorymark.gpus.catalogue import Gpu
from memorymark.records.analysis import Analysis
from memorymark.records.comparison import ComparedGpu, Comparison
from memorymark.records.costs import Offer, Plan, PricedOffer, compare_offers
from memorymark.records.trial import Source


def comparison_of(analyses: Sequence[tuple[Gpu, Analysis]], plan: Plan) -> Comparison:
    """Compare analyses of one training, each on a GPU of the catalogue, at its price there.

    Args:
        analyses: Pairs of a GPU and the analysis on it, at least one.
        plan: What is trained and how often; its price is not used.
    """
    by_key = {gpu.key: (gpu, analysis) for gpu, analysis in analyses}
    offers = compare_offers(plan, [_offer(*pair) for pair in by_key.values()])
    rows = tuple(_row(offer, *by_key[offer.offer.name]) for offer in offers)
    _, first = analyses[0]
    all_measured = all(row.source == Source.MEASURED for row in rows)
    return Comparison(
        model_name=first.workload,
        config=first.config,
        plan=plan,
        gpus=rows,
        findings=tuple(_findings([analysis for _, analysis in analyses])),
        source=str(Source.MEASURED if all_measured else Source.SIMULATED),
    )


def _offer(gpu: Gpu, analysis: Analysis) -> Offer:
    optimal = analysis.optimal
    return Offer(gpu.key, gpu.usd_per_hour, optimal.samples_per_second, optimal.batch_size)


def _row(priced: PricedOffer, gpu: Gpu, analysis: Analysis) -> ComparedGpu:
    trial, source = analysis.optimal.trial, analysis.target.source
    low, high = analysis.optimal.speed_band or (None, None)
    failed = () if analysis.complete or trial else (analysis.stopped_by or "",)
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
        assumptions=trial.assumptions if trial else failed,
        samples_per_second_low=low,
        samples_per_second_high=high,
    )


def _findings(analyses: Sequence[Analysis]) -> list[str]:
    found = []
    for analysis in analyses:
        if analysis.nothing_fits:
            found.append(f"{analysis.target.name}: not even the smallest batch fits.")
        elif not analysis.complete:
            found.append(f"{analysis.target.name}: {analysis.stopped_by}")
    return found
