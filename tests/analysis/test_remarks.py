"""What is remarked on the current batch beside the largest one that the search found."""

from __future__ import annotations

from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.marks import with_options
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

PROBE = FakeProbe(2 * GIB, 10 * MIB, target=simulated_target(8 * GIB))  # 614 fit


def analysis(**options):
    return analyze_on(PROBE, FakeWorkload(), TrainingConfig(), AnalysisOptions(**options))


def with_trial(found, batch_size):
    trial = PROBE.run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), batch_size))
    return with_options(found, supplied=trial, current_batch_size=batch_size)


def test_a_batch_between_the_steps_that_fits_is_named():
    found = analysis()
    assert (found.max_batch_size, found.max_step) == (608, 8)
    said = "Batch 609 fits too; 608 is the largest multiple of 8."
    assert with_trial(found, 609).remarks[0] == analysis(current_batch_size=609).remarks[0] == said
    assert "fits too" not in " ".join(with_trial(found, 608).remarks)


def test_a_batch_that_does_not_fit_is_set_beside_the_largest_multiple_of_the_step():
    said = with_trial(analysis(), 615).remarks[0]
    assert said == "Batch 615 does not fit: the largest multiple of 8 that does is 608."
    exact = with_options(analysis(granularity=1), current_batch_size=5000).remarks[0]
    assert exact == "Batch 5,000 does not fit: the largest that does is 614."


def test_where_more_may_fit_no_batch_is_called_the_largest():
    said = with_trial(analysis(max_batch_size=64), 5000).remarks[0]
    assert said == "Batch 5,000 does not fit: the largest that is known to fit is 64."


def test_nothing_is_remarked_on_what_an_awaited_trial_will_tell():
    found = analysis()
    unknown = with_options(found, current_batch_size=1)
    assert "outside of the range tried" in unknown.remarks[0]
    assert with_options(found, awaited=True, current_batch_size=1).remarks == ()
