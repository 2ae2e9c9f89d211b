"""The search for the cheapest levers: what it tries, in which order, and when it ends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from memorymark.analysis.levers import make_it_fit
from memorymark.analysis.levers.find_levers import _Work
from memorymark.analysis.levers.fit_choices import FitChoices
from memorymark.analysis.levers.known_levers import LEVERS
from memorymark.analysis.levers.make_it_fit import MakeItFit
from memorymark.records.config import Task, TrainingConfig


@pytest.mark.parametrize(
    ("batch", "parts"),
    [(1, []), (24, [12, 6, 3, 1]), (15, [5, 3, 1]), (7, [1]), (225, [75, 45, 25, 9, 5, 3, 1])],
)
def test_a_batch_is_split_into_equal_parts_whatever_divides_it(batch, parts):
    attempts = SimpleNamespace(batch_size=batch, config=TrainingConfig(gradient_accumulation=2))
    before = SimpleNamespace(needed_bytes=1 << 30)
    found = [option.changes for option in FitChoices(attempts, before, {}).accumulations()]
    assert [each["batch_size"] for each in found] == parts
    assert all(each["batch_size"] * each["gradient_accumulation"] == 2 * batch for each in found)


class Trials:
    """A training whose memory and seconds follow from its changes by arithmetic.

    Args:
        capacity: The bytes that there are.
        batch_size: Samples of a step.
        factors: What each change does to (memory, seconds).
        a_pass: Seconds of each forward and backward pass, however small.
    """

    def __init__(self, capacity, batch_size, factors, a_pass=1.0):
        self.batch_size, self.config = batch_size, TrainingConfig(task=Task.MASKED_LM)
        self._capacity, self._factors, self._a_pass = capacity, factors, a_pass
        self.asked = []

    def try_changes(self, changes, *, in_full=True):
        self.asked.append(dict(changes))
        batch = changes.get("batch_size", self.batch_size)
        times = changes.get("gradient_accumulation", 1)
        memory, seconds = 100 + 10 * batch, 100 * self._a_pass * times + batch * times
        for name, value in changes.items():
            more, longer = self._factors.get((name, value), (1.0, 1.0))
            memory, seconds = memory * more, seconds * longer
        return SimpleNamespace(
            changes=changes, fits=memory <= self._capacity, needed_bytes=memory,
            batch_size=batch, seconds_per_sample=seconds / (batch * times),
        )  # fmt: skip

    def lever(self, name, tried, before, notes=""):
        return SimpleNamespace(name=name, fits=tried.fits, changes=dict(tried.changes))


def search(trials):
    alone = {}
    for lever in LEVERS:
        changes = lever.changes(trials.config, trials.batch_size)
        keys = {(name, value) for name, value in (changes or {}).items()}
        if keys & trials._factors.keys() or lever.key == "accumulation":
            alone[lever.key] = trials.try_changes(changes)
    trials.asked.clear()
    return MakeItFit(trials, trials.try_changes({}), alone)


CHECKPOINTED, HALF = ("gradient_checkpointing", True), ("precision", "bf16")
EIGHT_BITS, ADAPTERS = ("optimizer", "adamw-8bit"), ("lora_rank", 16)


def test_the_path_ends_where_the_batch_fits():
    """Half the weights save most and pay; adapters, which save less, are what makes it fit."""
    factors = {HALF: (0.5, 0.5), ADAPTERS: (0.6, 0.8), EIGHT_BITS: (0.9, 0.9)}
    found = search(Trials(0.5 * 420, 32, factors))
    steps = found.steps(found.cheapest())
    assert [step.fits for step in steps] == [False] * (len(steps) - 1) + [True]
    assert len(steps) == 3 and not found.findings


def test_what_only_makes_it_cheaper_is_said_to():
    factors = {HALF: (0.4, 0.5), ADAPTERS: (0.4, 0.8)}
    found = search(Trials(0.5 * 420, 32, factors))
    steps = found.steps(found.cheapest())
    assert [step.fits for step in steps] == [True, True]
    (said,) = found.findings
    assert said == (
        "The batch fits with Weights and states in bf16 alone; LoRA of rank 16 makes it cheaper."
    )


def test_ways_to_accumulate_cost_what_is_simulated_or_less():
    trials = Trials(100 + 10 * 4, 32, {}, a_pass=0.2)
    found = search(trials)
    (options,) = found._choices.dimensions(found._try, with_samples=False)
    now = found._before.seconds_per_sample
    costs = [trials.try_changes(each.changes).seconds_per_sample / now for each in options]
    assert [each.cost for each in options] == pytest.approx(costs)
    assert costs == sorted(costs) and costs[-1] > 10
    assert found.cheapest()[0].changes == {"batch_size": 4, "gradient_accumulation": 8}


def test_slower_passes_rather_than_many_more():
    """A pass costs as much as hundreds of samples: to recompute is cheaper than to accumulate."""
    trials = Trials(250, 32, {CHECKPOINTED: (0.5, 1.3)}, a_pass=5.0)
    found = search(trials)
    assert [each.changes for each in found.cheapest()] == [dict([CHECKPOINTED])]


@pytest.mark.parametrize("fits", [False, True])
def test_the_search_ends_and_says_what_it_left_out(monkeypatch, fits):
    monkeypatch.setattr(make_it_fit, "_MOST_SIMULATIONS", 7)
    factors = {HALF: (0.9, 0.5), ADAPTERS: (0.9, 0.8), EIGHT_BITS: (0.9, 0.9),
               CHECKPOINTED: (0.9, 1.3)}  # fmt: skip
    monkeypatch.setattr(make_it_fit, "needs_at_least", lambda options, other: False)
    trials = Trials(0.75 * 420 if fits else 1, 32, factors)
    found = search(trials)
    assert (found.cheapest() is not None) == fits
    (said, *_) = found.findings
    assert found.was_ended and "was ended after" in said and "not tried, first of them" in said
    assert ("cost less" in said) == fits
    assert len(trials.asked) < 25


def test_where_nothing_fits_few_simulations_say_so():
    factors = {HALF: (0.9, 0.5), ADAPTERS: (0.9, 0.8), CHECKPOINTED: (0.9, 1.3)}
    trials = Trials(1, 60_000, factors)
    found = search(trials)
    assert found.cheapest() is None and not found.findings
    assert len(trials.asked) < 25


def test_samples_are_shortened_only_where_nothing_else_makes_it_fit():
    factors = {HALF: (0.9, 0.5), ("seq_len", 64): (0.2, 0.5)}
    found = search(Trials(0.25 * 110, 32, factors))
    changes = [each.changes for each in found.cheapest()]
    assert {"seq_len": 64} in changes and not found.findings


@pytest.mark.parametrize("ended", [False, True])
def test_the_report_tells_whether_nothing_fits_or_the_search_was_ended(monkeypatch, ended):
    if ended:
        monkeypatch.setattr(make_it_fit, "_MOST_SIMULATIONS", 1)
        monkeypatch.setattr(make_it_fit, "needs_at_least", lambda options, other: False)
    trials = Trials(1, 32, {HALF: (0.9, 0.5), CHECKPOINTED: (0.9, 1.3)})
    reporter = SimpleNamespace(enter=lambda *words: None)
    work = _Work(trials, reporter, trials.try_changes({}))
    assert work.make_it_fit() == ()
    said = " ".join(work.findings)
    assert ("was ended" in said) == ended and ("No set of these levers" in said) != ended
