"""What is promised of levers, on the three built-in models and one card."""

from __future__ import annotations

from typing import Any

import pytest
import transformers
from once import once

import memorymark
from memorymark.analysis.levers.find_levers import AS_IT_IS
from memorymark.analysis.levers.known_levers import LEVERS
from memorymark.analysis.levers.lever_kinds import Theory
from memorymark.records.config import TrainingConfig
from memorymark.records.lever import LeverReport

GPU, BATCH = "a100-40gb", 16
# What an analysis is asked about each, beside what the levers say.
ANALYZED = {
    "bert": (AS_IT_IS, "SGD without momentum"),
    "gpt2": ("Mixed precision (amp-bf16) + Gradient checkpointing", "No generation cache"),
    "resnet": ("Gradient checkpointing",),
}
# Below these shares two figures count as the same: of memory, and of an estimated time.
SAME = {"memory": 0.01, "time": 0.02}


@pytest.fixture(scope="module", params=ANALYZED)
def report(request, tmp_path_factory) -> LeverReport:
    def found() -> dict[str, Any]:
        return memorymark.levers(request.param, gpu=GPU, current_batch_size=BATCH).to_dict()

    return LeverReport.from_dict(once(tmp_path_factory, f"levers-{request.param}", found))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> str:
    """The name of a BERT of one layer."""
    folder = tmp_path_factory.mktemp("models") / "small"
    transformers.BertConfig(
        vocab_size=1000, hidden_size=64, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=256,
    ).save_pretrained(folder)  # fmt: skip
    return f"hf:{folder}"


def test_a_promise_is_what_an_estimate_says(report) -> None:
    assert len(report.levers) > 10
    for lever in report.levers:
        config = lever.config_from(TrainingConfig())
        trial = memorymark.estimate(report.workload, config, batch_size=lever.batch_size, gpu=GPU)
        assert trial.peak_reserved_bytes == lever.peak_reserved_bytes, lever.name
        assert trial.samples_per_second == lever.samples_per_second, lever.name


def test_the_largest_batch_is_that_of_an_analysis(report) -> None:
    levers = {lever.name: lever for lever in (report.before, *report.levers)}
    for name in ANALYZED[report.workload]:
        config = levers[name].config_from(TrainingConfig())
        analysis = memorymark.analyze(report.workload, config, gpu=GPU)
        assert analysis.max_batch_size == levers[name].max_batch_size, name


def test_changes_agree_in_sign_with_their_theory(report) -> None:
    found = {lever.name: lever for lever in report.levers}
    missing = {lever.name: lever for lever in report.unavailable}
    before, wrong = report.before, []
    for lever in LEVERS:
        if lever.name not in found:
            assert lever.name not in missing or missing[lever.name].reason
            continue
        pulled = found[lever.name]
        memory = 1 - pulled.memory_bytes / before.memory_bytes
        time = 1 - before.samples_per_second / pulled.samples_per_second
        wrong += [] if agrees(lever.memory, memory, SAME["memory"]) else [(lever.key, memory)]
        wrong += [] if agrees(lever.time, time, SAME["time"]) else [(lever.key, time)]
    assert wrong == []


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


def test_no_lever_makes_everything_worse(report) -> None:
    before = report.before
    for lever in report.levers:
        assert (
            lever.memory_bytes < before.memory_bytes
            or lever.samples_per_second > before.samples_per_second
            or lever.max_batch_size > before.max_batch_size
        ), lever.name
    assert any(lever.efficient for lever in report.levers)
    assert report.make_it_fit == ()


def test_a_report_in_json_has_its_keys_and_the_lines_of_code(report) -> None:
    document = report.to_dict()
    keys = ("model", "config", "device", "source", "batch_size", "levers", "make_it_fit")
    assert tuple(document)[: len(keys)] == keys
    assert all(lever["snippet"] and lever["notes"] for lever in document["levers"])


def test_the_smallest_card_was_simulated(report) -> None:
    assert report.smallest_card is not None and report.smallest_card.fits
    smaller = [card for card in report.cards if card.total_bytes < report.smallest_card.total_bytes]
    assert all(card.fits is False for card in smaller if card != report.cheapest_card)


def test_a_batch_that_does_not_fit_is_made_to_fit_step_by_step(small) -> None:
    target = {"gpu": "t4", "memory_budget": "28MiB"}
    report = memorymark.levers(small, current_batch_size=4, max_batch_size=8, **target)
    first, *steps = report.make_it_fit
    assert first.name == AS_IT_IS and first.fits is False
    assert len(steps) > 1 and steps[-1].fits
    for step in steps:
        config = step.config_from(report.config)
        trial = memorymark.estimate(small, config, batch_size=step.batch_size, **target)
        assert trial.fits is step.fits
        assert trial.memory_bytes == step.memory_bytes
    samples = steps[-1].batch_size * steps[-1].changes.get("gradient_accumulation", 1)
    assert samples == 4
    assert LeverReport.from_dict(report.to_dict()) == report


def test_a_card_without_the_units_says_so(small) -> None:
    config = TrainingConfig(seq_len=16)
    report = memorymark.levers(small, config, gpu="t4", current_batch_size=8, max_batch_size=8)
    reasons = {missing.name: missing.reason for missing in report.unavailable}
    assert "BF16" in reasons["Mixed precision (amp-bf16)"]
    assert "TF32" in reasons["TF32 matrix products"]


def test_what_a_lever_saves_is_what_the_two_memories_differ_by(small) -> None:
    report = memorymark.levers(
        small, current_batch_size=4, max_batch_size=8, gpu="t4", memory_budget="28MiB"
    )
    assert report.before.fits is False
    for lever in report.levers:
        if lever.memory_bytes is not None and lever.saved_bytes is not None:
            assert lever.saved_bytes == report.before.memory_bytes - lever.memory_bytes
    assert any(lever.fits and lever.saved_bytes for lever in report.levers)


@pytest.mark.parametrize(("budget", "fits"), [("1GiB", True), ("80MiB", False)])
def test_what_fits_is_not_asked_for_its_least_memory(small, budget, fits) -> None:
    """Only whoever looks for what makes a batch fit compares it; it takes several replays."""
    trials = {"before": [], "levers": [], "make-it-fit": []}

    def note(event) -> None:
        if event.trial is not None:
            trials[event.phase].append(event.trial)

    memorymark.levers(
        small, gpu=GPU, current_batch_size=32, memory_budget=budget, on_event=note
    )  # fmt: skip
    (before,), levers = trials["before"], trials["levers"]
    assert before.fits is fits
    assert before.minimum_bytes is not None
    assert any(trial.fits for trial in levers)
    assert all((trial.minimum_bytes is None) is (fits and trial.fits) for trial in levers)
