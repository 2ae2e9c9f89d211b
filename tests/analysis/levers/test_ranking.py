"""Levers are ranked by what they gain, and those that gain nothing are not named."""

from __future__ import annotations

import pytest

from memorymark.analysis.levers.combined_levers import Combined
from memorymark.analysis.levers.known_levers import BY_KEY
from memorymark.analysis.levers.ranking import (
    LEAST_SAVING,
    Gain,
    Pulled,
    gain,
    is_worth_naming,
    ranked,
    with_efficient,
)
from memorymark.analysis.levers.trying import Tried
from memorymark.records.config import TrainingConfig
from memorymark.records.gain import SMALLEST_SIMULATED_GAIN
from memorymark.records.lever import Lever
from memorymark.records.trial import Outcome, Source, Trial
from memorymark.units import GIB

CAPACITY = 24 * GIB


def tried(memory_gib, seconds=0.1, *, changes=None):
    """A training that takes so much memory; above the capacity it does not fit."""
    taken = int(memory_gib * GIB)
    fits = taken <= CAPACITY
    trial = Trial(
        "m", 8, TrainingConfig(), Source.SIMULATED, "NVIDIA L4",
        Outcome.OK if fits else Outcome.OOM,
        capacity_bytes=CAPACITY,
        peak_allocated_bytes=taken,
        peak_reserved_bytes=taken if fits else None,
        minimum_bytes=taken,
    )  # fmt: skip
    return Tried(changes or {}, 8, trial, seconds)


def pulled(key, memory_gib, seconds=0.1, largest=None, changes=None):
    found = tried(memory_gib, seconds, changes=changes)
    lever = BY_KEY[key]
    return Pulled(
        Combined((lever,), changes or {"x": 1}), found, Lever(key, {}, max_batch_size=largest)
    )


BEFORE = tried(16)


def keys(levers):
    return [each.lever.name for each in levers]


def test_gains_are_shares_of_what_the_training_takes_now():
    assert gain(BEFORE, tried(12, 0.05)) == Gain(0.25, 0.5)
    worse = gain(BEFORE, tried(20, 0.2))
    assert (worse.memory, worse.time, worse.is_any) == (-0.25, -1.0, False)


def test_where_the_batch_does_not_fit_what_it_would_need_counts():
    assert gain(tried(32), tried(24)).memory == 0.25
    assert gain(tried(32), tried(26)).memory == pytest.approx(6 / 32)


@pytest.mark.parametrize("seconds", [(None, 0.1), (0.1, None)])
def test_what_is_not_known_is_no_gain(seconds):
    assert gain(tried(16, seconds[0]), tried(16, seconds[1])) == Gain(0.0, 0.0)


def test_a_gain_too_small_to_see_is_none():
    faster = 1 / (1 + SMALLEST_SIMULATED_GAIN)
    assert Gain(0, 1 - faster).is_any and not Gain(0, 1 - faster - 1e-6).is_any
    assert Gain(LEAST_SAVING, 0).is_any and not Gain(LEAST_SAVING - 1e-6, 0).is_any


def test_the_more_memory_and_money_together_the_higher():
    levers = [pulled("sgd", 15), pulled("bf16", 12, 0.05), pulled("fused", 16, 0.06)]
    assert keys(ranked(BEFORE, levers)) == ["bf16", "fused", "sgd"]


def test_what_does_not_fit_and_what_is_another_sample_come_last():
    before = tried(40)
    levers = [
        pulled("half-seq-len", 8, 0.01), pulled("fused", 30, 0.01), pulled("lora", 20),
    ]  # fmt: skip
    assert keys(ranked(before, levers)) == ["lora", "half-seq-len", "fused"]


def test_a_lever_is_named_for_memory_for_seconds_or_for_a_larger_batch():
    same = pulled("drop-outputs", 16, largest=32)
    assert not is_worth_naming(BEFORE, same, largest_before=32)
    assert is_worth_naming(BEFORE, same, largest_before=24)
    assert is_worth_naming(BEFORE, pulled("sgd", 15, largest=32), largest_before=32)
    assert is_worth_naming(BEFORE, pulled("tf32", 16, 0.05, largest=32), largest_before=32)
    assert is_worth_naming(BEFORE, same, largest_before=None)


def test_a_smaller_batch_is_not_named_for_fitting_more_often():
    half = pulled("accumulation", 16, largest=64, changes={"batch_size": 4})
    assert not is_worth_naming(BEFORE, half, largest_before=32)


def lever(name, memory_gib, rate, fits=True):
    return Lever(name, {}, fits, memory_bytes=int(memory_gib * GIB), samples_per_second=rate)


def test_the_efficient_are_those_that_no_other_beats():
    before, levers = with_efficient(
        lever("as it is", 16, 100),
        [lever("less", 8, 90), lever("faster", 20, 200), lever("beaten", 17, 99),
         lever("unknown", 1, None), lever("no room", 1, 500, fits=False)],
    )  # fmt: skip
    assert before.efficient
    assert {each.name for each in levers if each.efficient} == {"less", "faster"}
    assert [each.name for each in levers] == ["less", "faster", "beaten", "unknown", "no room"]
