"""One training on one GPU has one max and one optimal batch, however they were searched."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_bert, tiny_gpt2, tiny_resnet

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.marks import with_options
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.probes.simulations import Simulations
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Trial
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

SMALL = TrainingConfig(seq_len=16, image_size=32)
CAPACITY = 8 * GIB


class Curves(FakeProbe):
    """Memory and seconds by any curves, as a simulated GPU has them."""

    def __init__(self, memory: Callable[[int], int], seconds: Callable[[int], float]) -> None:
        super().__init__(memory=memory, target=simulated_target(CAPACITY))
        self.seconds = seconds

    def run_trial(self, spec: TrialSpec) -> Trial:
        trial = super().run_trial(spec)
        taken = self.seconds(spec.batch_size)
        return dataclasses.replace(trial, step_seconds=taken) if trial.fits else trial


def analyze(probe, guess=None, workload=None, config=SMALL, **options) -> Analysis:
    workload = workload or FakeWorkload()
    return analyze_on(probe, workload, config, AnalysisOptions(**options), guess=guess)


def answers(analysis: Analysis) -> tuple[int | None, int | None]:
    return analysis.max_batch_size, analysis.optimal.batch_size


def by_definition(memory, seconds, step: int, headroom: float) -> tuple[int | None, int | None]:
    """Go through the whole grid."""
    limit = int(CAPACITY * (1 - headroom))
    for grid in (range(step, 65_536, step), range(1, step)):
        fits = [n for n in grid if memory(n) <= CAPACITY]
        within = [n for n in fits if memory(n) <= limit]
        if within:
            best = max(n / seconds(n) for n in within)
            every = fits if grid.start == step else range(1, 65_536)
            largest = max(n for n in every if memory(n) <= CAPACITY and (n < step or n % step == 0))
            return largest, next(n for n in within if n / seconds(n) >= 0.98 * best)
    return None, None


slopes = st.lists(st.tuples(st.floats(1e-5, 0.01), st.floats(0, 0.5)), min_size=1, max_size=5)
memories = st.tuples(
    st.integers(0, CAPACITY), st.integers(4 * MIB, GIB), st.sampled_from([1, 2 * MIB, 20 * MIB])
)


@given(
    memory=memories,
    pieces=slopes,
    guesses=st.tuples(*[st.one_of(st.none(), st.integers(1, 4000))] * 2),
    currents=st.tuples(*[st.integers(1, 4000)] * 2),
    step=st.sampled_from([1, 3, 8, 32]),
    headroom=st.sampled_from([0.0, 0.05, 0.3]),
)
@settings(max_examples=40, deadline=None)
def test_max_and_optimal_are_those_of_the_whole_grid_whatever_was_guessed(
    memory, pieces, guesses, currents, step, headroom
):
    fixed, each, rounding = memory
    held = lambda n: -(-(fixed + each * n) // rounding) * rounding  # noqa: E731
    seconds = lambda n: sum(max(rate * n, least) for rate, least in pieces) + 1e-4  # noqa: E731
    true = by_definition(held, seconds, step, headroom)
    for guess, current in zip(guesses, currents, strict=True):
        probe = Curves(held, seconds)
        asked = {"current_batch_size": current, "granularity": step, "headroom": headroom}
        found = analyze(probe, guess, **asked)
        tried = [trial.batch_size for trial in found.trials]
        assert len(tried) == len(set(tried)) <= 45
        if true[1] is not None:
            assert answers(found) == true
            assert found.optimal_is_exact


@given(
    times=st.lists(st.floats(0.5, 2.0), min_size=64, max_size=64),
    guess=st.one_of(st.none(), st.integers(1, 4000)),
)
@settings(max_examples=25, deadline=None)
def test_where_throughput_falls_and_rises_no_smaller_batch_that_was_tried_reaches_it(times, guess):
    """As where a kernel's tiles fill the card in waves."""
    seconds = lambda n: n * times[n // 8 % 64] * 0.001 + 0.01  # noqa: E731
    found = analyze(Curves(lambda n: 16 * MIB * n, seconds), guess)
    limit = int(CAPACITY * 0.95)
    within = [t for t in found.trials if t.fits and t.most_memory_bytes <= limit]
    on_grid = [t for t in within if t.batch_size % 8 == 0]
    best = max(t.samples_per_second for t in on_grid)
    reach = [t.batch_size for t in on_grid if t.samples_per_second >= 0.98 * best]
    assert found.optimal.batch_size == min(reach)
    before = found.optimal.batch_size - 8
    assert before == 0 or before in {trial.batch_size for trial in found.trials}


@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2, tiny_resnet])
@pytest.mark.parametrize("key", ["t4", "h100-80gb"])
def test_simulated_models_have_one_answer_on_every_path(make, key):
    workload, budget = make(), 200 * MIB
    found = set()
    for guess, shared, current in ((None, None, 16), (400, None, 40), (90, Simulations(), 77)):
        probe = SimulatedProbe(find_gpu(key), budget_bytes=budget)
        if shared is not None:
            probe.share(shared)
        options = {"current_batch_size": current, "granularity": 32}
        analysis = analyze(probe, guess, workload, **options)
        assert analysis.optimal_is_exact
        found.add(answers(analysis))
    assert len(found) == 1


@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2, tiny_resnet])
@pytest.mark.parametrize("key", ["t4", "h100-80gb"])
def test_simulated_throughput_does_not_fall_as_the_batch_grows(make, key):
    probe, workload = SimulatedProbe(find_gpu(key)), make()
    probe.share(Simulations())
    trials = [probe.run_trial(TrialSpec(workload, SMALL, n)) for n in (1, 8, 9, 64, 184, 200, 512)]
    speeds = [trial.samples_per_second for trial in trials]
    assert all(later >= before * (1 - 1e-9) for before, later in pairwise(speeds))


def test_another_headroom_says_where_trials_for_it_are_missing():
    probe = Curves(lambda n: 16 * MIB * n, lambda n: 0.02 + 0.001 * n)
    found = analyze(probe)
    assert found.optimal_is_exact and found.remarks == ()
    changed = with_options(found, headroom=0.5)
    assert changed.optimal_is_exact is False
    assert "Not tried for these settings: batch " in changed.remarks[-1]
    assert with_options(found, current_batch_size=40, price_per_hour=3.0).optimal_is_exact
