"""The smallest card and the cheapest are found by trying cards, each at most once."""

from __future__ import annotations

import dataclasses

import pytest

from memorymark.analysis.levers.smallest_card import smallest_cards
from memorymark.gpus.catalogue import find_gpu
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Plan
from memorymark.records.trial import Outcome, Source, Trial
from memorymark.units import GIB

CONFIG, PLAN = TrainingConfig(), Plan()
RATE = 50.0


def card(key, gib, usd, like="l4"):
    return dataclasses.replace(
        find_gpu(like), key=key, name=key.upper(), total_bytes=gib * GIB, usd_per_hour=usd
    )


class Training:
    """Takes so much memory, or ends in an error on some cards; notes what was tried."""

    def __init__(self, gib, errors=()):
        self.bytes, self.errors, self.tried = gib * GIB, errors, []

    def __call__(self, gpu):
        self.tried.append(gpu.key)
        outcome = Outcome.OK if self.bytes <= gpu.total_bytes else Outcome.OOM
        if gpu.key in self.errors:
            outcome = Outcome.ERROR
        speed = {"step_seconds": 8 / RATE} if outcome is Outcome.OK else {}
        return Trial(
            "m", 8, CONFIG, Source.SIMULATED, gpu.name, outcome, minimum_bytes=self.bytes,
            peak_reserved_bytes=self.bytes if speed else None, **speed,
        )  # fmt: skip


CARDS = (card("large", 80, 2.0), card("small", 16, 0.5), card("middle", 24, 0.9),
         card("old", 40, 0.3), card("unpriced", 32, None))  # fmt: skip


def test_the_smallest_by_memory_and_the_cheapest_by_the_hour():
    training = Training(20)
    found = smallest_cards(CARDS, training, CONFIG, PLAN)
    assert (found.smallest.gpu, found.cheapest.gpu) == ("middle", "old")
    assert training.tried == ["small", "middle", "old"], "each once, and no larger one than needed"
    assert [each.gpu for each in found.tried] == training.tried
    assert [each.fits for each in found.tried] == [False, True, True]


def test_a_card_has_its_own_price_and_what_a_sample_costs_there():
    found = smallest_cards(CARDS, Training(20), CONFIG, Plan(price_per_hour=9.0))
    million_hours = 1e6 / RATE / 3600
    assert found.smallest.samples_per_second == RATE
    assert found.smallest.cost_per_million_samples == pytest.approx(0.9 * million_hours)
    assert found.cheapest.cost_per_million_samples == pytest.approx(0.3 * million_hours)
    assert found.smallest.memory_bytes == 20 * GIB


def test_a_card_without_a_price_can_be_the_smallest_but_not_the_cheapest():
    found = smallest_cards(CARDS, Training(30), CONFIG, PLAN)
    assert (found.smallest.gpu, found.cheapest.gpu) == ("unpriced", "old")
    assert found.smallest.usd_per_hour is None
    assert found.smallest.cost_per_million_samples is None


def test_of_cards_with_the_same_memory_the_cheaper_is_the_smallest():
    twins = (card("dear", 24, 3.0), card("unknown", 24, None), card("cheap", 24, 1.0))
    assert smallest_cards(twins, Training(20), CONFIG, PLAN).smallest.gpu == "cheap"


def test_where_no_card_holds_it_all_were_tried():
    found = smallest_cards(CARDS, Training(100), CONFIG, PLAN)
    assert found.smallest is found.cheapest is None
    assert {each.gpu for each in found.tried} == {each.key for each in CARDS}


def test_a_card_on_which_it_ends_in_an_error_is_not_said_to_be_too_small():
    found = smallest_cards(CARDS, Training(10, errors=("small",)), CONFIG, PLAN)
    assert found.smallest.gpu == "middle"
    assert {each.gpu: each.fits for each in found.tried}["small"] is None


def test_a_card_without_units_for_the_precision_is_passed_over():
    cards = (card("turing", 16, 0.1, like="t4"), card("ada", 24, 0.5))
    training = Training(10)
    found = smallest_cards(cards, training, TrainingConfig(precision="bf16"), PLAN)
    assert found.smallest.gpu == found.cheapest.gpu == "ada" and training.tried == ["ada"]
