"""The largest batch from few looks is the one that a search of every batch finds."""

from __future__ import annotations

from fakes import FakeProbe, FakeWorkload, simulated_target
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.analysis.levers.largest_batch import largest_batch
from memorymark.analysis.search import find_max_batch
from memorymark.errors import UnsupportedOperation
from memorymark.records.config import TrainingConfig
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

FIRST, UPPER = 16, 65535


class Batches:
    """Memory of a model, which is told of as far as was looked."""

    def __init__(self, memory, *, unsure=(), looks=True):
        self.probe = FakeProbe(memory=memory, target=simulated_target(), oom_readings=True)
        self.capacity = self.probe.target.capacity_bytes
        self.unsure, self.looks = set(unsure), looks
        self.reach, self.looked, self.simulated = 0, [], {FIRST}

    def look_at(self, batch_size):
        self.looked.append(batch_size)
        self.reach = max(self.reach, int(batch_size * 1.15)) if self.looks else 0

    def trial_at(self, batch_size):
        self.simulated.add(batch_size)
        return self.probe.run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), batch_size))

    def follow(self, batch_size):
        if batch_size in self.unsure - self.simulated or not self.reach:
            raise UnsupportedOperation("unknown")
        return self.probe.run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), batch_size))


def found(batches, granularity=8, upper=UPPER, leap=1024):
    return largest_batch(
        batches, FIRST, batches.capacity, granularity=granularity, upper=upper, leap=leap
    )


def searched(batches, granularity=8, upper=UPPER):
    return find_max_batch(batches.trial_at, granularity=granularity, upper=upper).max_batch_size


MEMORY = {
    "fixed": st.integers(0, 50 * GIB),
    "per_sample": st.integers(1, 3 * GIB),
    "granularity": st.sampled_from([1, 8, 32]),
    "upper": st.sampled_from([5, 300, UPPER]),
}


@settings(max_examples=60, deadline=None)
@given(**MEMORY)
def test_it_is_what_a_search_finds(fixed, per_sample, granularity, upper):
    batches = Batches(lambda n: fixed + per_sample * n)
    answer = found(batches, granularity, upper)
    assert answer == searched(Batches(batches.probe.memory), granularity, upper)
    assert len(batches.looked) <= 4


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(1, 160), max_size=40))
def test_what_is_not_told_is_simulated(numbers):
    batches = Batches(lambda n: 2 * GIB + 64 * MIB * n, unsure={8 * n for n in numbers})
    assert found(batches) == 608


def test_where_nothing_follows_each_batch_is_simulated():
    batches = Batches(lambda n: 2 * GIB + 64 * MIB * n, looks=False)
    assert found(batches) == 608
    assert {608, 616} <= batches.simulated and len(batches.looked) == 1


def test_growth_that_the_first_batch_does_not_show_takes_a_leap_and_one_more_look():
    # Below 100 samples the optimizer's step holds more than they do.
    batches = Batches(lambda n: max(20 * GIB, 10 * MIB * n))
    assert found(batches) == 4096
    assert len(batches.looked) <= 3 and batches.simulated == {FIRST}


def test_not_even_one_sample():
    assert found(Batches(lambda n: 41 * GIB + n)) is None
