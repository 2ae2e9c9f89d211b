from __future__ import annotations

import dataclasses

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.marks import with_options
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.gain import SMALLEST_SIMULATED_GAIN, smallest_clear_gain
from memorymark.records.trial import Source
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

MONEY = {"price_per_hour": 2.0, "dataset_size": 10**7, "runs_per_year": 12}


def analysis(current: int, *, overhead: float = 0.02, target=None, **options):
    probe = FakeProbe(2 * GIB, 32 * MIB, overhead_seconds=overhead, target=target)
    asked = AnalysisOptions(current_batch_size=current, **MONEY, **options)
    return analyze_on(probe, FakeWorkload(), TrainingConfig(), asked)


def trial(spread: float | None):
    found = FakeProbe(GIB).run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), 8))
    return dataclasses.replace(found, step_seconds_spread=spread)


def test_a_gain_is_at_least_what_the_rule_gives_away():
    assert smallest_clear_gain(Source.MEASURED, None, None) == pytest.approx(1 / 0.98 - 1)
    assert smallest_clear_gain(Source.MEASURED, trial(None), trial(0.001)) == 1 / 0.98 - 1
    assert SMALLEST_SIMULATED_GAIN > 1 / 0.98 - 1
    assert smallest_clear_gain(Source.SIMULATED, None, None) == SMALLEST_SIMULATED_GAIN


def test_measured_it_is_at_least_what_steps_differ_by():
    assert smallest_clear_gain(Source.MEASURED, trial(0.03), trial(0.04)) == pytest.approx(0.05)


def test_a_clear_gain_saves():
    found = analysis(8)
    assert found.gain_is_clear is True and not found.already_fine
    assert found.costs.usd_per_run > 0


def test_the_recommended_batch_itself_is_fine():
    found = analysis(16)
    same = with_options(found, current_batch_size=found.optimal.batch_size)
    assert (same.gain_is_clear, same.already_fine, same.speedup) == (False, True, 1.0)
    assert str(same.costs.usd_per_run) == "0.0"


@pytest.mark.parametrize("current", [160, 176])
def test_a_larger_batch_that_is_as_fast_is_fine_and_nothing_is_saved(current):
    found = analysis(current)
    assert found.optimal.batch_size < current and 0.97 < found.speedup < 1
    assert found.already_fine
    saved = found.costs
    assert (saved.hours_per_run, saved.usd_per_run, saved.usd_per_year) == (0.0, 0.0, 0.0)


def test_a_batch_within_two_percent_is_fine():
    found = analysis(136)
    assert 1 < found.speedup < 1 / 0.98
    assert found.already_fine and found.costs.usd_per_run == 0.0


def test_simulated_a_gain_of_a_few_percent_is_none():
    measured, simulated = (analysis(112, target=t) for t in (None, simulated_target(8 * GIB)))
    assert measured.speedup == pytest.approx(simulated.speedup, rel=0.03)
    assert (measured.gain_is_clear, simulated.gain_is_clear) == (True, False)


def test_a_batch_that_does_not_fit_is_not_fine():
    found = analysis(5000)
    assert (found.gain_is_clear, found.already_fine) == (None, False)
    assert found.costs.usd_per_run is None


def test_a_batch_that_leaves_little_free_is_warned_of_and_not_fine():
    found = analysis(190)
    assert found.current_is_tight and not found.already_fine
    assert "Batch 190 leaves 0.78 % of the memory free" in found.remarks[0]
    assert analysis(176).current_is_tight is False


def test_unknown_throughput_is_no_gain_and_not_none():
    probe = FakeProbe(seconds_per_sample=None)
    found = analyze_on(probe, FakeWorkload(), TrainingConfig())
    assert found.gain_is_clear is None and not found.already_fine
