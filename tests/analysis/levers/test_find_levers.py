"""What is promised of levers, on the three built-in models and one card."""

from __future__ import annotations

from functools import cache

import pytest

import memorymark
from memorymark.analysis.levers.find_levers import AS_IT_IS
from memorymark.analysis.levers.known_levers import LEVERS, Theory
from memorymark.records.config import TrainingConfig
from memorymark.records.lever import LeverReport

GPU, BATCH = "a100-40gb", 16
MODELS = ("bert", "gpt2", "resnet")
# Below these shares two figures count as the same: of memory, and of an estimated time.
SAME = {"memory": 0.01, "time": 0.02}


@cache
def report_of(model: str) -> LeverReport:
    return memorymark.levers(model, gpu=GPU, current_batch_size=BATCH)


@pytest.mark.parametrize("model", MODELS)
def test_a_promise_is_what_an_estimate_says(model) -> None:
    report = report_of(model)
    assert len(report.levers) > 10
    for lever in report.levers:
        config = lever.config_from(TrainingConfig())
        trial = memorymark.estimate(model, config, batch_size=lever.batch_size, gpu=GPU)
        assert trial.peak_reserved_bytes == lever.peak_reserved_bytes, lever.name
        assert trial.samples_per_second == lever.samples_per_second, lever.name


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("bert", AS_IT_IS),
        ("bert", "SGD without momentum"),
        ("gpt2", "Mixed precision (amp-bf16) + Gradient checkpointing"),
        ("gpt2", "No generation cache"),
        ("resnet", "Gradient checkpointing"),
    ],
)
def test_the_largest_batch_is_that_of_an_analysis(model, name) -> None:
    report = report_of(model)
    lever = next(each for each in (report.before, *report.levers) if each.name == name)
    config = lever.config_from(TrainingConfig())
    analysis = memorymark.analyze(model, config, gpu=GPU)
    assert analysis.max_batch_size == lever.max_batch_size


@pytest.mark.parametrize("lever", LEVERS, ids=lambda lever: lever.key)
@pytest.mark.parametrize("model", MODELS)
def test_a_change_agrees_in_sign_with_its_theory(model, lever) -> None:
    report = report_of(model)
    found = next((each for each in report.levers if each.name == lever.name), None)
    if found is None:
        missing = next((each for each in report.unavailable if each.name == lever.name), None)
        assert missing is None or missing.reason
        return
    before = report.before
    memory = 1 - found.memory_bytes / before.memory_bytes
    time = 1 - before.samples_per_second / found.samples_per_second
    assert agrees(lever.memory, memory, SAME["memory"]), (lever.key, memory)
    assert agrees(lever.time, time, SAME["time"]), (lever.key, time)


def agrees(theory: Theory, gained: float, same: float) -> bool:
    """Whether a share gained, negative where it is lost, is what theory says."""
    return {
        Theory.DOWN: gained > 0,
        Theory.NOT_UP: gained > -same,
        Theory.SAME: abs(gained) <= same,
        Theory.NOT_DOWN: gained < same,
        Theory.UP: gained < 0,
        Theory.EITHER: True,
    }[theory]


@pytest.mark.parametrize("model", MODELS)
def test_no_lever_makes_everything_worse(model) -> None:
    report = report_of(model)
    before = report.before
    for lever in report.levers:
        assert (
            lever.memory_bytes < before.memory_bytes
            or lever.samples_per_second > before.samples_per_second
            or lever.max_batch_size > before.max_batch_size
        ), lever.name
    assert any(lever.efficient for lever in report.levers)
    assert report.make_it_fit == ()


def test_a_report_comes_back_from_json() -> None:
    report = report_of("bert")
    document = report.to_dict()
    keys = ("model", "config", "device", "source", "batch_size", "levers", "make_it_fit")
    assert tuple(document)[: len(keys)] == keys
    assert LeverReport.from_dict(document) == report
    assert all(lever["snippet"] and lever["notes"] for lever in document["levers"])


def test_a_batch_that_does_not_fit_is_made_to_fit_step_by_step() -> None:
    report = memorymark.levers("bert", gpu="t4", current_batch_size=256)
    first, *steps = report.make_it_fit
    assert first.name == AS_IT_IS and first.fits is False
    assert steps and steps[-1].fits
    for step in steps:
        config = step.config_from(TrainingConfig())
        trial = memorymark.estimate("bert", config, batch_size=step.batch_size, gpu="t4")
        assert trial.fits is step.fits
        assert trial.memory_bytes == step.memory_bytes
    samples = steps[-1].batch_size * steps[-1].changes.get("gradient_accumulation", 1)
    assert samples == 256


def test_a_card_without_the_units_says_so() -> None:
    report = memorymark.levers(
        "bert", TrainingConfig(seq_len=16), gpu="t4", current_batch_size=8, max_batch_size=8
    )
    reasons = {missing.name: missing.reason for missing in report.unavailable}
    assert "BF16" in reasons["Mixed precision (amp-bf16)"]
    assert "TF32" in reasons["TF32 matrix products"]


def test_the_smallest_card_was_simulated() -> None:
    report = report_of("bert")
    assert report.smallest_card is not None and report.smallest_card.fits
    smaller = [card for card in report.cards if card.total_bytes < report.smallest_card.total_bytes]
    assert all(card.fits is False for card in smaller if card != report.cheapest_card)
