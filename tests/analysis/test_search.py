from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
from fakes import FakeProbe, FakeWorkload, affine, measured_target
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memorymark.analysis.search import SearchResult, find_max_batch, not_monotone
from memorymark.errors import InvalidValue
from memorymark.records.config import TrainingConfig
from memorymark.records.held_memory import Breakdown
from memorymark.records.trial import Outcome, Source, Trial
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

UPPER = 65_535


class Oracle:
    """Answers from memory over batch size, with as few readings as a real device may give."""

    def __init__(self, memory: Callable[[int], int], capacity: int, readings: bool = True) -> None:
        self.memory, self.capacity, self.readings = memory, capacity, readings
        self.asked: list[int] = []

    def __call__(self, batch_size: int) -> Trial:
        self.asked.append(batch_size)
        held = self.memory(batch_size)
        fits = held <= self.capacity
        return Trial(
            "oracle", batch_size, TrainingConfig(), Source.MEASURED, "fake",
            outcome=Outcome.OK if fits else Outcome.OOM, capacity_bytes=self.capacity,
            peak_allocated_bytes=held if fits and self.readings else None,
        )  # fmt: skip


def truth(memory, capacity, granularity, lower=1, upper=UPPER) -> int | None:
    """Largest answer by definition, by halving over the same candidates."""
    fits = lambda n: memory(n) <= capacity  # noqa: E731
    multiples = range(-(-lower // granularity) * granularity, upper + 1, granularity)
    candidates = multiples
    if not multiples or not fits(multiples[0]):
        candidates = range(lower, min(granularity, upper + 1))
        if not multiples and lower >= granularity:
            candidates = range(lower, upper + 1)
    low, high = -1, len(candidates)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(candidates[middle]) else (low, middle)
    return candidates[low] if low >= 0 else None


def check_both_sides(result: SearchResult, upper: int = UPPER) -> None:
    outcomes = {trial.batch_size: trial.outcome for trial in result.trials}
    assert len(outcomes) == len(result.trials), "a batch size was tried twice"
    if result.max_batch_size is None:
        assert Outcome.OK not in outcomes.values()
        return
    assert outcomes[result.max_batch_size] is Outcome.OK
    following = result.max_batch_size + result.granularity
    if result.at_upper_bound:
        assert following > upper
    else:
        assert outcomes[following] is Outcome.OOM


granularities = st.sampled_from([1, 2, 3, 4, 5, 8, 16, 32, 64])


@given(
    fixed=st.integers(0, 80 * GIB),
    slope=st.integers(0, 8 * GIB),
    capacity=st.integers(1, 80 * GIB),
    granularity=granularities,
    upper=st.one_of(st.just(UPPER), st.integers(1, UPPER)),
)
@example(fixed=0, slope=1, capacity=UPPER, granularity=8, upper=UPPER)
@example(fixed=0, slope=1, capacity=UPPER + 1, granularity=1, upper=UPPER)
@example(fixed=0, slope=0, capacity=1, granularity=8, upper=UPPER)
@example(fixed=10, slope=1, capacity=16, granularity=8, upper=UPPER)
@example(fixed=10, slope=1, capacity=10, granularity=8, upper=UPPER)
@settings(max_examples=250, deadline=None)
def test_linear_memory_takes_at_most_four_trials(fixed, slope, capacity, granularity, upper):
    oracle = Oracle(affine(fixed, slope), capacity)
    result = find_max_batch(oracle, granularity=granularity, upper=upper)
    assert result.max_batch_size == truth(oracle.memory, capacity, granularity, upper=upper)
    check_both_sides(result, upper)
    assert len(oracle.asked) <= 4


@pytest.mark.parametrize("granularity", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("share_fixed", [0.0, 0.3, 0.9])
def test_every_boundary_of_linear_memory_takes_at_most_four_trials(granularity, share_fixed):
    capacity = 40 * GIB
    fixed = int(share_fixed * capacity)
    for boundary in [*range(0, 140), 500, 1000, 4097, 30_000, 65_534, 65_535, 70_000]:
        slope = (capacity - fixed) // boundary if boundary else capacity
        oracle = Oracle(affine(fixed, slope), capacity)
        result = find_max_batch(oracle, granularity=granularity)
        assert result.max_batch_size == truth(oracle.memory, capacity, granularity)
        assert len(oracle.asked) <= 4, (boundary, oracle.asked)


def monotone(steps: list[tuple[int, int]]) -> Callable[[int], int]:
    return lambda n: sum(height for position, height in steps if position <= n)


@given(
    steps=st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 10 * GIB)), max_size=12),
    slope=st.integers(0, 100 * MIB),
    capacity=st.integers(0, 60 * GIB),
    granularity=granularities,
    bounds=st.tuples(st.integers(1, UPPER), st.integers(1, UPPER)).map(sorted),
    readings=st.booleans(),
    guess=st.one_of(st.none(), st.integers(1, UPPER)),
)
@settings(max_examples=200, deadline=None)
def test_any_monotone_memory_is_answered_exactly(
    steps, slope, capacity, granularity, bounds, readings, guess
):
    lower, upper = bounds
    memory = monotone(steps)
    oracle = Oracle(lambda n: memory(n) + slope * n, capacity, readings)
    result = find_max_batch(oracle, granularity=granularity, lower=lower, upper=upper, guess=guess)
    assert result.max_batch_size == truth(oracle.memory, capacity, granularity, lower, upper)
    check_both_sides(result, upper)
    assert all(lower <= asked <= upper for asked in oracle.asked)
    assert len(oracle.asked) <= 12 + 2 * math.log2(upper + 1)


@given(
    boundary=st.integers(10, 5000),
    fixed=st.integers(0, 30 * GIB),
    rounding=st.sampled_from([512, 2 * MIB, 20 * MIB]),
    granularity=st.sampled_from([1, 8]),
)
@example(boundary=179, fixed=31_951_398_449, rounding=20 * MIB, granularity=1)
@settings(max_examples=200, deadline=None)
def test_rounded_memory_takes_few_trials(boundary, fixed, rounding, granularity):
    capacity = 40 * GIB
    slope = (capacity - fixed) // boundary
    oracle = Oracle(lambda n: -(-(fixed + slope * n) // rounding) * rounding, capacity)
    result = find_max_batch(oracle, granularity=granularity)
    assert result.max_batch_size == truth(oracle.memory, capacity, granularity)
    assert len(oracle.asked) <= 24


def test_rounded_memory_mostly_takes_few_trials():
    """The worst case above is rare: over many boundaries the typical search stays short."""
    capacity, counts = 40 * GIB, []
    for boundary in range(20, 2000, 13):
        fixed = boundary * 12_345_677 % (30 * GIB)
        slope = (capacity - fixed) // boundary
        rounded = lambda n, a=fixed, b=slope: -(-(a + b * n) // (2 * MIB)) * 2 * MIB  # noqa: E731
        oracle = Oracle(rounded, capacity)
        find_max_batch(oracle)
        counts.append(len(oracle.asked))
    counts.sort()
    assert counts[len(counts) // 2] <= 4
    assert counts[len(counts) * 9 // 10] <= 7


@pytest.mark.parametrize("off", [-1, 0, 1, 2])
def test_a_good_guess_takes_two_or_three_trials(off):
    oracle = Oracle(affine(2 * GIB, 80 * MIB), 40 * GIB)
    true_max = truth(oracle.memory, oracle.capacity, 8)
    result = find_max_batch(oracle, guess=true_max + 8 * off)
    assert result.max_batch_size == true_max
    assert len(oracle.asked) <= 3


@pytest.mark.parametrize("guess", [1, 7, 8, 100, 2000, 65_535, 10**9])
def test_a_bad_guess_costs_trials_not_the_answer(guess):
    oracle = Oracle(affine(2 * GIB, 80 * MIB), 40 * GIB)
    result = find_max_batch(oracle, guess=guess)
    assert result.max_batch_size == truth(oracle.memory, oracle.capacity, 8)
    assert len(oracle.asked) <= 9


def test_not_even_one_sample_fits():
    oracle = Oracle(affine(3 * GIB, MIB), 2 * GIB)
    result = find_max_batch(oracle)
    assert result.max_batch_size is None
    assert result.complete
    assert 1 in oracle.asked


def test_below_the_granularity_the_answer_is_refined_and_says_so():
    result = find_max_batch(Oracle(affine(0, GIB), 5 * GIB))
    assert (result.max_batch_size, result.granularity) == (5, 1)
    assert result.findings == ("Fewer than 8 fit, so we searched in steps of 1: 5.",)


def test_upper_bound_is_the_answer_where_it_fits():
    result = find_max_batch(Oracle(affine(0, 1), GIB), upper=100)
    assert result.max_batch_size == 96
    assert result.at_upper_bound


def test_upper_bound_below_the_granularity():
    result = find_max_batch(Oracle(affine(0, 1), GIB), upper=5)
    assert result.max_batch_size == 5
    assert result.findings == ()


def test_optimizer_bound_small_batches_do_not_mislead():
    """Below batch 20 the optimizer's step holds most; memory grows only from there on."""

    def run(n: int) -> Trial:
        asked.append(n)
        flat = Breakdown(parameters=400, gradients=400, optimizer_states=800, temporaries=400)
        growing = Breakdown(parameters=400, optimizer_states=800, activations=40 * n)
        parts = max(flat, growing, key=lambda b: b.total)
        outcome = Outcome.OK if parts.total <= 10_000 else Outcome.OOM
        readings = {"peak_allocated_bytes": parts.total, "breakdown": parts}
        return Trial(
            "m", n, TrainingConfig(), Source.MEASURED, "d", outcome, capacity_bytes=10_000,
            **(readings if outcome is Outcome.OK else {}),
        )  # fmt: skip

    for granularity, expected in ((1, 220), (8, 216)):
        asked: list[int] = []
        assert find_max_batch(run, granularity=granularity).max_batch_size == expected
        assert len(asked) <= 5
        assert max(asked) < 300


def test_growth_that_gets_steeper_is_seen_before_the_boundary():
    """A ResNet-50 on the CPU: small batches peak where gradients are kept, larger ones earlier."""

    def run(n: int) -> Trial:
        asked.append(n)
        late = Breakdown(parameters=97, gradients=91, optimizer_states=194, activations=5 * n)
        early = Breakdown(parameters=97, gradients=64, optimizer_states=194, activations=6 * n)
        parts = max(late, early, key=lambda b: b.total)
        outcome = Outcome.OK if parts.total <= 1536 else Outcome.OOM
        readings = {"peak_allocated_bytes": parts.total, "breakdown": parts}
        return Trial(
            "m", n, TrainingConfig(), Source.MEASURED, "d", outcome, capacity_bytes=1536,
            **(readings if outcome is Outcome.OK else {}),
        )  # fmt: skip

    asked: list[int] = []
    assert find_max_batch(run).max_batch_size == 192
    assert len(asked) <= 5


def test_readings_of_failed_trials_are_used_where_they_exceed_the_capacity():
    probe = FakeProbe(2 * GIB, 80 * MIB, target=measured_target(40 * GIB), oom_readings=True)
    config = TrainingConfig()
    result = find_max_batch(
        lambda n: probe.run_trial(TrialSpec(FakeWorkload(), config, n)), guess=500
    )
    assert result.max_batch_size == 480
    assert len(result.trials) <= 5


def test_an_error_stops_the_search_and_keeps_what_is_known():
    probe = FakeProbe(errors={40: "Index out of range."})
    probe.memory = lambda n: n * 200 * MIB
    result = find_max_batch(
        lambda n: probe.run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), n))
    )
    assert not result.complete
    assert result.error == "Index out of range."
    assert result.max_batch_size == 8


def test_an_error_at_the_first_trial_leaves_nothing():
    probe = FakeProbe(errors={8: "No."})
    result = find_max_batch(
        lambda n: probe.run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), n))
    )
    assert (result.max_batch_size, result.error, result.complete) == (None, "No.", False)


@given(answers=st.dictionaries(st.integers(1, 200), st.booleans(), min_size=200, max_size=200))
@settings(max_examples=100, deadline=None)
def test_memory_that_is_not_monotone_ends_in_a_true_local_statement(answers):
    oracle = Oracle(lambda n: 10 if answers.get(n, True) else 1000, 100)
    result = find_max_batch(oracle, granularity=1, upper=200)
    check_both_sides(result, 200)
    assert len(oracle.asked) <= 30


def test_a_fit_above_a_failure_is_a_finding():
    oracle = Oracle(lambda n: 1000 if n == 16 else 1, 100)
    trials = [oracle(n) for n in (8, 16, 24)]
    assert "Batch 24 fits although batch 16 does not" in not_monotone(trials)
    assert not_monotone(trials[:2]) is None


@pytest.mark.parametrize(
    "wrong", [{"granularity": 0}, {"lower": 0}, {"upper": 0}, {"lower": 9, "upper": 8}]
)
def test_bounds_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidValue):
        find_max_batch(Oracle(affine(0, 1), 10), **wrong)


class Sometimes(Oracle):
    """Says what a batch needs where it does not fit too, but not of every batch."""

    def __init__(self, memory, capacity, silent):
        super().__init__(memory, capacity)
        self.silent = silent

    def __call__(self, batch_size: int) -> Trial:
        trial = super().__call__(batch_size)
        given = None if self.silent(batch_size) else self.memory(batch_size)
        return dataclasses.replace(trial, peak_allocated_bytes=given)


def test_a_reading_beyond_the_first_failure_serves_where_that_has_none():
    memory = affine(GIB, 100 * MIB)
    oracle = Sometimes(memory, 4 * GIB, silent=lambda batch_size: batch_size == 32)
    known = [oracle(64), oracle(32), oracle(8)]
    found = find_max_batch(oracle, granularity=1, capacity_bytes=4 * GIB, known=known)
    assert found.max_batch_size == truth(memory, 4 * GIB, 1) == 30


@given(
    st.integers(0, 8 * GIB), st.integers(1, GIB), st.integers(0, 200), st.integers(0, 2**20),
    st.sampled_from([1, 8]), st.sampled_from([None, 4, 64, 999]),
)  # fmt: skip
def test_whatever_batches_are_silent_the_answer_is_right(fixed, slope, bend, mask, step, guess):
    memory = lambda n: fixed + slope * n + bend * n * n  # noqa: E731
    oracle = Sometimes(memory, 16 * GIB, silent=lambda n: mask >> (n * 7 % 20) & 1)
    found = find_max_batch(oracle, granularity=step, capacity_bytes=16 * GIB, guess=guess)
    assert found.max_batch_size == truth(memory, 16 * GIB, step)
    check_both_sides(found)
