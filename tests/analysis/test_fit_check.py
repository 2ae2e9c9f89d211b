"""One trial says whether a batch fits; the largest is searched only where it must be."""

import pytest
from fakes import FakeProbe, FakeWorkload, affine, simulated_target

from memorymark.analysis.fit_check import check_fit
from memorymark.errors import Cancelled, WorkloadError
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.units import GIB, MIB


def check(probe, batch_size, **options):
    return check_fit(
        probe, FakeWorkload("net"), TrainingConfig(), batch_size, AnalysisOptions(), **options
    )


def probe_of(fixed=GIB, each=32 * MIB, capacity=2 * GIB, **options):
    return FakeProbe(memory=affine(fixed, each), target=simulated_target(capacity), **options)


def test_a_batch_that_fits_takes_one_trial():
    probe = probe_of()
    fit = check(probe, 8)
    assert fit and probe.batch_sizes == [8] and not fit.searched
    assert fit.spare_bytes == GIB - 8 * 32 * MIB


@pytest.mark.parametrize("batch_size", [33, 40, 64, 1000])
def test_the_largest_is_found_where_it_does_not_fit(batch_size):
    probe = probe_of(oom_readings=True)
    fit = check(probe, batch_size)
    assert not fit and fit.max_batch_size == 32
    assert probe.batch_sizes[0] == batch_size and len(set(probe.batch_sizes)) == len(fit.tried)
    assert len(fit.tried) <= 6


@pytest.mark.parametrize("batch_size", [1, 7, 31])
def test_the_largest_is_found_where_it_is_asked_for(batch_size):
    fit = check(probe_of(), batch_size, largest=True)
    assert fit and fit.max_batch_size == 32 and not fit.max_is_lower_bound


def test_many_that_fit_are_counted_in_steps_and_never_below_the_one_that_does():
    probe = probe_of(each=MIB)
    assert check(probe, 8, largest=True).max_batch_size == 1024
    assert check(probe_of(each=MIB), 1023, largest=True).max_batch_size >= 1023


def test_where_nothing_fits_it_says_so():
    fit = check(probe_of(fixed=3 * GIB), 8)
    assert fit.max_batch_size is None and "Not even one sample fits." in fit.sentence


def test_a_batch_without_samples_is_tried_as_it_is():
    probe = probe_of(fixed=3 * GIB)
    fit = check(probe, 1, grows=False, largest=True)
    assert not fit and not fit.searched and probe.batch_sizes == [1]


def test_the_first_error_is_the_callers_and_a_later_one_is_told():
    with pytest.raises(WorkloadError):
        check(probe_of(raises={1: WorkloadError("broken")}), 8)
    fit = check(probe_of(raises={3: WorkloadError("broken")}), 8, largest=True)
    assert fit and fit.max_is_lower_bound and "broken" in fit.findings


def test_it_can_be_cancelled_between_trials():
    asked = []

    def look():
        asked.append(0)
        if len(asked) == 2:
            raise Cancelled

    probe = probe_of()
    with pytest.raises(Cancelled):
        check(probe, 8, largest=True, check=look)
    assert probe.batch_sizes == [8]
