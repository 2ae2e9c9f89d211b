"""What an analysis found, in sentences."""

from __future__ import annotations

import dataclasses

import pytest
from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target

from memorymark.analysis.analyze import AnalysisOptions, analyze_on, with_options
from memorymark.errors import Cancelled
from memorymark.records.config import TrainingConfig
from memorymark.report.sentences import analysis_lines
from memorymark.report.verdict import change_in_speed, does_not_fit, largest_words, verdict
from memorymark.units import GIB, MIB, percent

COSTS = {"price_per_hour": 1.29, "dataset_size": 10_000_000, "epochs": 3, "runs_per_year": 12}


def analysis(probe: FakeProbe | None = None, **options):
    probe = probe or FakeProbe(2 * GIB, 80 * MIB, target=simulated_target())
    return analyze_on(probe, FakeWorkload("bert"), TrainingConfig(), AnalysisOptions(**options))


def test_what_fits_comes_first_then_what_to_run_then_what_it_gains():
    result = analysis(**COSTS)
    best = result.optimal.batch_size
    assert verdict(result) == (
        f"Largest batch that fits: {result.max_batch_size}, in steps of 8. Recommended: {best}. "
        f"At batch 16, 92 % of the memory is idle. Batch {best} is {result.speedup:.1f} times as "
        f"fast and saves ${result.costs.usd_per_run:.2f} per run."
    )


def test_the_recommended_batch_gains_nothing_on_itself():
    result = analysis()
    same = with_options(result, current_batch_size=result.optimal.batch_size)
    assert verdict(same).endswith(" You already train with the recommended batch.")
    assert "times" not in verdict(same) and "faster" not in verdict(same)


def test_a_current_batch_that_does_not_fit():
    result = analysis(current_batch_size=5000)
    assert verdict(result).endswith(" Batch 5,000 does not fit.")


def test_no_gain_is_no_figure():
    said = verdict(analysis(FakeProbe(overhead_seconds=0.0), current_batch_size=16, **COSTS))
    assert said.endswith(" You are already fine: no batch is clearly faster.")
    assert "$" not in said and "1 times" not in said


def test_a_batch_that_leaves_nothing_free_is_not_called_fine():
    result = analysis(FakeProbe(overhead_seconds=0.0))
    full = with_options(result, current_batch_size=result.max_batch_size)
    free = percent(full.waste_share)
    assert full.waste_share < 0.05
    assert f"Batch {result.max_batch_size} leaves only {free} of the memory free." in verdict(full)
    assert verdict(full).endswith(" is about as fast.") and "fine" not in verdict(full)


def test_unknown_throughput_leaves_the_gain_out():
    said = verdict(analysis(FakeProbe(seconds_per_sample=None)))
    assert said.endswith("of the memory is idle.")


def test_a_dearer_recommendation_says_so():
    result = analysis(**COSTS)
    slower = with_options(result, current_batch_size=result.max_batch_size, headroom=0.9)
    assert slower.costs.usd_per_run < 0
    assert "slower and costs $" in verdict(slower) and " more per run." in verdict(slower)


def test_a_saving_below_a_cent_is_left_out():
    said = verdict(analysis(price_per_hour=1.0, dataset_size=100, epochs=1))
    assert "$" not in said and said.endswith("83 % faster.")


@pytest.mark.parametrize(
    ("speedup", "words"),
    [(1.004, "as fast"), (1.34, "34 % faster"), (1.996, "100 % faster"),
     (2.04, "2.0 times as fast"), (0.9, "10 % slower"), (0.999, "as fast")],
)  # fmt: skip
def test_speeds_are_compared_in_words(speedup, words):
    assert change_in_speed(speedup) == words


def test_nothing_fits_says_what_is_needed_where_that_is_known():
    probe = FakeProbe(50 * GIB, GIB, target=simulated_target(), oom_readings=True)
    result = analysis(probe)
    needed = min(result.trials, key=lambda trial: trial.batch_size).minimum_bytes
    assert needed is not None
    assert verdict(result) == (
        f"Does not fit: batch 1 needs {needed / GIB:.2f} GiB; this GPU has 40.00 GiB."
    )
    assert verdict(analysis(FakeProbe(9 * GIB))) == (
        "Does not fit: batch 1 needs more than the 8.00 GiB of this GPU."
    )


def test_a_budget_is_not_called_the_gpu():
    target = dataclasses.replace(simulated_target(8 * GIB), memory_budget_bytes=8 * GIB)
    assert does_not_fit(1, 12 * GIB, target) == (
        "Does not fit: batch 1 needs 12.00 GiB; the memory budget is 8.00 GiB."
    )
    assert does_not_fit(4, None, target).endswith("needs more than the memory budget of 8.00 GiB.")
    unknown = dataclasses.replace(target, capacity_bytes=None)
    assert does_not_fit(1, None, unknown) == "Does not fit: batch 1 runs out of memory."


def test_an_error_is_said():
    said = verdict(analysis(FakeProbe(errors={8: "No kernel."})))
    assert said == "No batch size found. No kernel."


def test_the_step_is_said_where_the_largest_batch_is_the_largest_of_its_multiples():
    result = analysis(granularity=32)
    assert result.max_batch_size % 32 == 0
    head = f"Largest batch that fits: {result.max_batch_size}, in steps of 32. "
    assert verdict(result).startswith(head)
    (line,) = [text for text in analysis_lines(result) if text.startswith("Largest that fits")]
    assert line.endswith(", in steps of 32")


@pytest.mark.parametrize(
    ("probe", "options"),
    [
        (None, {"granularity": 1}),
        (FakeProbe(2 * GIB, 1200 * MIB, target=measured_target()), {}),  # refined: 5 fit
        (None, {"max_batch_size": 64}),  # the bound: more may fit
    ],
)
def test_no_step_is_said_where_the_largest_batch_is_on_no_grid(probe, options):
    result = analysis(probe, **options)
    assert result.max_batch_size is not None and result.max_step is None
    (line,) = [text for text in analysis_lines(result) if text.startswith("Largest that fits")]
    assert "in steps of" not in verdict(result) + line


def test_a_search_that_was_stopped_knows_a_lower_bound():
    with pytest.raises(Cancelled) as caught:
        analysis(FakeProbe(raises={3: KeyboardInterrupt()}))
    partial = caught.value.partial
    assert largest_words(partial) == f"at least {partial.max_batch_size:,}"
    assert verdict(partial).startswith("Largest batch that fits: at least ")
    assert verdict(partial).endswith("Stopped early: Cancelled by the user.")


def test_a_search_that_reached_its_bound_knows_a_lower_bound():
    assert largest_words(analysis(max_batch_size=64)) == "at least 64"
    result = analysis()
    assert largest_words(result) == f"{result.max_batch_size:,}"
