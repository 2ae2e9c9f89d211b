from __future__ import annotations

import dataclasses

from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.ladder import MAX_RUNGS, next_rung
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Trial
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec


def known(*batch_sizes: int, probe: FakeProbe | None = None, **options) -> Analysis:
    probe = probe or FakeProbe(2 * GIB, 32 * MIB)
    trials = tuple(
        probe.run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), n)) for n in batch_sizes
    )
    return Analysis(
        "fake", probe.target, TrainingConfig(), AnalysisOptions(**options), trials, 192, 8
    )


def test_the_current_batch_comes_first():
    assert next_rung(known(8, 192, 200), 0) == 16
    assert next_rung(known(8, 192, 200), MAX_RUNGS) == 16


def test_then_the_largest_batch_within_the_headroom():
    assert next_rung(known(8, 16, 192, 200), 0) == 176


def test_then_the_knee_where_seconds_between_trials_say_that_it_lies():
    # Seconds are 0.02 + 0.001 n, so 98 % of the throughput at 176 is reached from 148 on.
    assert next_rung(known(8, 16, 176, 192, 200), 1) == 152
    assert next_rung(known(8, 16, 144, 152, 176, 192, 200), 1) is None  # 144 is near enough


def test_it_ends_after_a_few_rungs():
    assert next_rung(known(8, 16, 176, 192, 200), MAX_RUNGS) is None


def test_nothing_is_worth_a_trial_where_nothing_fits():
    assert next_rung(dataclasses.replace(known(8), max_batch_size=None), 0) is None


def test_without_throughput_only_the_headroom_matters():
    silent = FakeProbe(2 * GIB, 32 * MIB, seconds_per_sample=None)
    assert next_rung(known(8, 16, 176, 192, 200, probe=silent), 1) is None
    assert next_rung(known(8, 16, 176, 192, 200, objective="memory"), 1) is None
    assert next_rung(known(8, 16, 192, 200, objective="memory"), 0) == 176


def test_a_current_batch_that_is_known_not_to_fit_is_left_out():
    assert next_rung(known(8, 192, 200, current_batch_size=300), 0) == 176
    assert next_rung(known(8, 192, 200, current_batch_size=196), 0) == 196
    bounded = known(8, 192, current_batch_size=300, max_batch_size=192)
    assert next_rung(bounded, 0) == 176


def test_where_all_are_beyond_the_headroom_a_smaller_one_is_tried():
    assert next_rung(known(184, 192, 200, current_batch_size=184), 0) == 88


def test_on_a_slow_device_halves_of_the_max_are_left_out():
    quick = known(8, 16, 176, 192, 200)
    slow = [dataclasses.replace(trial, elapsed_seconds=20.0) for trial in quick.trials]
    assert next_rung(dataclasses.replace(quick, trials=tuple(slow)), 1) is None
    without_headroom = dataclasses.replace(quick, trials=(slow[0], slow[1], slow[3], slow[4]))
    assert next_rung(without_headroom, 0) == 176


class Simulated(FakeProbe):
    """Seconds grow with the batch by a straight line: a fixed part, and one for each sample."""

    def __init__(self, fixed_seconds: float) -> None:
        super().__init__(2 * GIB, 32 * MIB, target=simulated_target(8 * GIB))
        self.fixed_seconds = fixed_seconds

    def run_trial(self, spec: TrialSpec) -> Trial:
        trial = super().run_trial(spec)
        seconds = self.fixed_seconds + 0.001 * spec.batch_size
        return dataclasses.replace(trial, step_seconds=seconds) if trial.fits else trial


def simulated(*batch_sizes: int, fixed_seconds: float = 0.02, **options) -> Analysis:
    return known(*batch_sizes, probe=Simulated(fixed_seconds), **options)


def test_simulated_the_next_batch_on_the_grid_was_tried_too():
    assert next_rung(simulated(8, 16, 192, 200), 0) == 176
    assert next_rung(simulated(8, 16, 176, 192, 200), 1) == 184
    assert next_rung(simulated(8, 16, 176, 184, 192, 200), 2) == 144
    assert next_rung(simulated(8, 16, 144, 176, 184, 192, 200), 3) == 152
    assert next_rung(simulated(8, 16, 144, 152, 176, 184, 192, 200), 4) is None


def test_simulated_a_flat_throughput_leads_to_the_smallest_batch_on_the_grid():
    tried = (16, 176, 184, 192, 200)
    assert next_rung(simulated(*tried, fixed_seconds=0.0001), 2) == 8
    assert next_rung(simulated(8, *tried, fixed_seconds=0.0001), 3) is None


def test_simulated_brackets_are_halved_where_guesses_lead_nowhere():
    assert next_rung(simulated(8, 16, 176, 184, 192, 200), 20) == 96


def test_simulated_the_current_batch_off_the_grid_changes_no_bracket():
    tried = (8, 16, 147, 176, 184, 192, 200)
    assert next_rung(simulated(*tried, current_batch_size=147), 2) == 144
    assert next_rung(simulated(*tried, 144, current_batch_size=147), 3) == 152


def test_simulated_a_busy_machine_changes_no_answer():
    quick = simulated(8, 16, 176, 192, 200)
    slow = [dataclasses.replace(trial, elapsed_seconds=20.0) for trial in quick.trials]
    assert next_rung(dataclasses.replace(quick, trials=tuple(slow)), 1) == 184


def test_simulated_a_batch_that_ended_in_an_error_is_not_tried_again():
    probe = Simulated(0.02)
    probe.errors = {144: "no rule for this operation"}
    tried = (8, 16, 144, 152, 176, 184, 192, 200)
    assert next_rung(known(*tried, probe=probe), 4) == 136
