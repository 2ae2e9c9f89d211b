"""A comparison in words."""

from __future__ import annotations

import dataclasses

from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.compare import comparison_of
from memorymark.gpus.catalogue import find_gpu
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Plan
from memorymark.records.request import Request, RequestKind
from memorymark.report.comparison_lines import (
    DOMINATED,
    cheapest,
    cheapest_sentence,
    comparison_lines,
    kinds_sentence,
)
from memorymark.report.price_words import price_owner
from memorymark.units import GIB


def comparison(plan: Plan | None = None, slow: float = 0.004):
    pairs = [
        (find_gpu(key), analyze_on(probe, FakeWorkload("bert"), TrainingConfig(seq_len=512)))
        for key, probe in {
            "l4": FakeProbe(target=simulated_target()),
            "h100-80gb": FakeProbe(target=simulated_target(), seconds_per_sample=slow),
            "t4": FakeProbe(90 * GIB, target=simulated_target(GIB)),
        }.items()
    ]
    return comparison_of(pairs, plan or Plan(dataset_size=1_000_000, epochs=3))


def test_the_cheapest_comes_first_and_all_of_it_is_said():
    record = comparison()
    best = cheapest(record)
    lines = comparison_lines(record, Request(RequestKind.COMPARISON, "bert", memory_budget=4 * GIB))
    assert lines[0] == cheapest_sentence(record)
    assert lines[0].startswith(f"Cheapest: {best.name} at batch {best.optimal_batch_size}, $")
    assert lines[1] == (
        "bert · fp32 · 512 tokens · adamw · memory budget 4 GiB · 1,000,000 samples · 3 epochs"
    )
    assert sum(row.name in "\n".join(lines) for row in record.gpus) == 3
    assert "NVIDIA T4 (simulated): no batch size found." in lines


def test_the_cheapest_says_whose_price_it_is():
    record = comparison()
    best = cheapest(record)
    assert f"${best.usd_per_hour:,.2f} per hour ({price_owner(best.price_source)})." in (
        cheapest_sentence(record)
    )
    assert "per hour (your price)." in cheapest_sentence(record, {best.gpu})


def mixed():
    """A comparison in which an on-demand price stands beside one of a marketplace."""
    record = comparison(slow=0.001)
    sources = {"l4": "Vast.ai marketplace, L4; seen at vast.ai", "t4": "RunPod spot, T4; seen"}
    rows = [
        dataclasses.replace(row, price_source=sources.get(row.gpu, row.price_source))
        for row in record.gpus
    ]
    return dataclasses.replace(record, gpus=tuple(rows))


def test_the_headline_says_when_prices_of_other_kinds_are_compared():
    record = mixed()
    best = cheapest(record)
    assert best.gpu == "l4"
    assert cheapest_sentence(record).endswith(
        f"${best.usd_per_hour:,.2f} per hour (Vast.ai marketplace), compared with on-demand prices."
    )
    said = kinds_sentence(record)
    assert said.startswith(
        "Prices of different kinds are compared: marketplace for 1 GPU, cheapest NVIDIA L4 at $"
    )
    assert "; on-demand for 1 GPU, cheapest NVIDIA H100 SXM 80GB at $" in said
    assert "spot" not in said  # nothing fits on that one, so it costs nothing
    assert f"Note: {said}" in comparison_lines(record)


def test_prices_of_one_kind_and_typed_ones_are_not_called_mixed():
    assert kinds_sentence(comparison()) is None
    assert "compared with" not in cheapest_sentence(comparison())
    assert kinds_sentence(mixed(), {"l4"}) is None
    assert "your price)." in cheapest_sentence(mixed(), {"l4"})


def test_a_gpu_that_another_beats_says_so():
    text = "\n".join(comparison_lines(comparison(slow=0.1)))
    assert text.count(DOMINATED) == 1


def test_without_a_price_none_is_called_the_cheapest():
    record = comparison()
    rows = tuple(
        dataclasses.replace(row, cost=dataclasses.replace(row.cost, usd_per_million_samples=None))
        for row in record.gpus
    )
    without = dataclasses.replace(record, gpus=rows)
    assert cheapest_sentence(without).startswith("No GPU has both a price and a throughput")
