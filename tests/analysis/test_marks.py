from __future__ import annotations

import dataclasses

import pytest
from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.marks import mark_at, with_options
from memorymark.errors import InvalidValue, UnknownChoice
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome, Source
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

CONFIG = TrainingConfig()


def analysis(**options):
    probe = FakeProbe(2 * GIB, 32 * MIB)
    return analyze_on(probe, FakeWorkload(), CONFIG, AnalysisOptions(**options))


def test_other_options_give_what_an_analysis_with_them_gives():
    first = analysis(price_per_hour=1.0, dataset_size=100_000)
    changed = with_options(first, price_per_hour=2.0)
    assert changed.trials is first.trials
    assert changed.costs.usd_per_run == pytest.approx(2 * first.costs.usd_per_run)


def test_the_same_options_change_nothing():
    first = analysis(price_per_hour=1.0)
    assert with_options(first) == first


def test_between_two_trials_figures_are_interpolated_and_say_so():
    changed = with_options(analysis(), current_batch_size=100)
    assert changed.current.interpolated
    assert changed.current.trial is None
    assert changed.current.memory_bytes == pytest.approx(2 * GIB + 100 * 32 * MIB)
    assert changed.current.samples_per_second == pytest.approx(100 / 0.12)
    assert changed.waste_bytes == 8 * GIB - changed.current.memory_bytes
    assert changed.remarks == ()


def test_below_the_trials_nothing_is_known_but_that_it_fits():
    changed = with_options(analysis(), current_batch_size=1)
    mark = changed.current
    assert (mark.memory_bytes, mark.samples_per_second, mark.fits) == (None, None, True)
    assert changed.speedup is None
    assert "unknown" in changed.remarks[0]


def test_a_supplied_trial_is_used_outside_of_the_trials_only():
    first = analysis()
    supplied = FakeProbe(1 * GIB).run_trial(TrialSpec(FakeWorkload(), CONFIG, 1))
    assert with_options(first, current_batch_size=1, supplied=supplied).current.trial is supplied
    other = FakeProbe(1 * GIB).run_trial(TrialSpec(FakeWorkload(), CONFIG, 16))
    assert with_options(first, supplied=other).current.trial is not other
    assert with_options(first, current_batch_size=2, supplied=supplied).current.trial is None


def test_between_simulated_trials_a_simulated_one_takes_the_place_of_interpolated_figures():
    probe = FakeProbe(2 * GIB, 32 * MIB, target=simulated_target(8 * GIB))
    first = analyze_on(probe, FakeWorkload(), CONFIG)
    supplied = FakeProbe(3 * GIB, 32 * MIB, target=simulated_target(8 * GIB)).run_trial(
        TrialSpec(FakeWorkload(), CONFIG, 100)
    )
    assert with_options(first, current_batch_size=100).current.interpolated
    changed = with_options(first, current_batch_size=100, supplied=supplied)
    assert changed.current.trial is supplied and not changed.current.interpolated
    assert changed.current.samples_per_second == supplied.samples_per_second
    assert with_options(first, current_batch_size=101, supplied=supplied).current.interpolated
    failed = dataclasses.replace(supplied, outcome=Outcome.ERROR, error="No rule.")
    assert with_options(first, current_batch_size=100, supplied=failed).current.interpolated


def test_between_measured_trials_figures_stay_interpolated_whatever_a_simulation_says():
    trial = FakeProbe(3 * GIB).run_trial(TrialSpec(FakeWorkload(), CONFIG, 100))
    simulated = dataclasses.replace(trial, source=Source.SIMULATED)
    for supplied in (trial, simulated):
        changed = with_options(analysis(), current_batch_size=100, supplied=supplied)
        assert changed.current.interpolated


def test_a_simulated_trial_gives_no_speed_to_set_against_measured_ones():
    first = analysis(price_per_hour=1.0)
    trial = FakeProbe(1 * GIB).run_trial(TrialSpec(FakeWorkload(), CONFIG, 1))
    supplied = dataclasses.replace(trial, source=Source.SIMULATED)
    changed = with_options(first, current_batch_size=1, supplied=supplied)
    assert changed.current.memory_bytes == supplied.memory_bytes
    assert changed.speedup is None and changed.costs.usd_per_run is None
    assert "its memory is simulated" in changed.remarks[0]
    same = with_options(first, current_batch_size=1, supplied=trial)
    assert same.speedup is not None and same.remarks == ()


def test_above_the_boundary_it_does_not_fit():
    changed = with_options(analysis(), current_batch_size=5000)
    assert changed.current.fits is False
    assert changed.speedup is None
    assert changed.waste_bytes is None
    assert "does not fit" in changed.remarks[0]


def test_accumulation_counts_in_interpolated_throughput():
    probe = FakeProbe(2 * GIB, 32 * MIB)
    config = TrainingConfig(gradient_accumulation=4)
    first = analyze_on(probe, FakeWorkload(), config)
    exact = probe.run_trial(TrialSpec(FakeWorkload(), config, 100))
    mark = mark_at(first.trials, 100)
    assert mark.interpolated
    assert mark.samples_per_second == pytest.approx(exact.samples_per_second)


def test_the_optimal_batch_reaches_98_percent_of_the_best_within_the_headroom():
    result = analysis()
    limit = int(8 * GIB * 0.95)
    within = [t for t in result.trials if t.fits and t.memory_bytes <= limit]
    best = max(t.samples_per_second for t in within)
    good = [t.batch_size for t in within if t.samples_per_second >= 0.98 * best]
    assert result.optimal.batch_size == min(good)


def test_a_flat_throughput_makes_a_small_batch_optimal():
    probe = FakeProbe(overhead_seconds=0.0)
    result = analyze_on(probe, FakeWorkload(), CONFIG)
    assert result.optimal.batch_size == min(t.batch_size for t in result.trials)


def test_memory_as_objective_takes_the_largest_within_the_headroom():
    result = analysis(objective="memory")
    assert result.optimal.batch_size == 176
    assert result.max.batch_size == 192
    assert result.headroom_bytes >= 0.05 * 8 * GIB


def test_unknown_throughput_takes_the_largest_within_the_headroom_and_says_so():
    probe = FakeProbe(seconds_per_sample=None)
    result = analyze_on(probe, FakeWorkload(), CONFIG)
    assert result.optimal.batch_size == 176
    assert result.speedup is None
    assert result.batch_ratio == 11
    assert "No throughput is known" in result.remarks[0]


def test_no_batch_within_the_headroom_is_said():
    probe = FakeProbe(7 * GIB + 900 * MIB, 10 * MIB, target=measured_target(8 * GIB))
    result = analyze_on(probe, FakeWorkload(), CONFIG, AnalysisOptions(current_batch_size=8))
    assert result.optimal.batch_size == 1
    assert any("leaves 5 % of the memory free" in remark for remark in result.remarks)


def test_options_are_checked():
    with pytest.raises(InvalidValue):
        with_options(analysis(), current_batch_size=0)
    with pytest.raises(UnknownChoice):
        with_options(analysis(), objective="speed")


def test_the_higher_end_of_a_range_has_to_leave_the_headroom_free():
    result = analysis(objective="memory")
    limit = int(8 * GIB * 0.95)
    ranged = [
        dataclasses.replace(
            trial,
            peak_reserved_low_bytes=trial.memory_bytes - 100 * MIB,
            peak_reserved_high_bytes=min(trial.memory_bytes + 400 * MIB, 8 * GIB),
        )
        if trial.fits
        else trial
        for trial in result.trials
    ]
    found = with_options(dataclasses.replace(result, trials=tuple(ranged)))
    assert found.max.batch_size == result.max.batch_size
    assert found.optimal.batch_size < result.optimal.batch_size
    assert found.optimal.trial.peak_reserved_high_bytes <= limit
