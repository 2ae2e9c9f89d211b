"""What was found is kept, whatever fails after the first trial."""

import dataclasses

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.attempt import attempt
from memorymark.analysis.levers import advice as levers
from memorymark.analysis.validate import validate_backward_on, validate_compile_on
from memorymark.errors import PoisonedDevice, WorkloadError, one_sentence
from memorymark.records.analysis import Analysis
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome
from memorymark.workloads.trial_spec import TrialSpec

CONFIG = TrainingConfig()
ERRORS = [
    WorkloadError("make_batch(64) raised ValueError."), ZeroDivisionError("in a broken probe"),
    PoisonedDevice("Restart."), AssertionError(), OSError(5, "the lock"), SystemExit(3),
]  # fmt: skip


def analyze(probe, **options):
    return analyze_on(probe, FakeWorkload(), CONFIG, **options)


def number_of_trials():
    probe = FakeProbe()
    analyze(probe)
    return len(probe.calls)


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("at", range(2, number_of_trials() + 1))
def test_an_analysis_keeps_its_trials(at, error):
    result = analyze(FakeProbe(raises={at: error}))
    before = analyze(FakeProbe())
    assert result.trials[: at - 1] == before.trials[: at - 1]
    assert result.trials[at - 1].outcome is Outcome.ERROR
    said = [result.stopped_by or "", *result.findings]
    assert any(one_sentence(error) in each for each in said)
    assert Analysis.from_dict(result.to_dict()) == result


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_the_first_error_is_the_callers(error):
    with pytest.raises(type(error)):
        analyze(FakeProbe(raises={1: error}))


def test_an_error_in_what_comes_after_the_search(monkeypatch):
    probe = FakeProbe()
    monkeypatch.setattr(
        "memorymark.analysis.analyze.next_rung", lambda *_: (_ for _ in ()).throw(KeyError("rung"))
    )
    result = analyze(probe)
    assert result.max_batch_size and result.trials and not result.complete
    assert "KeyError: 'rung'" in result.stopped_by


def test_an_error_in_the_levers_leaves_their_words(monkeypatch):
    probe = FakeProbe(fixed_bytes=2**60, target=simulated_target())
    without = levers.possible_changes(CONFIG)
    monkeypatch.setattr(
        "memorymark.analysis.analyze.with_gains", lambda *_: (_ for _ in ()).throw(KeyError("x"))
    )
    result = analyze(probe)
    assert result.complete and result.nothing_fits and result.advice == without
    assert any("KeyError" in finding for finding in result.findings)


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("at", [2, 4, 6])
def test_a_validation_keeps_its_trials(at, error):
    result = validate_backward_on(FakeProbe(raises={at: error}), FakeWorkload(), CONFIG, 8)
    everything = (*result.trials, *result.search_trials)
    assert sum(trial.outcome is Outcome.ERROR for trial in everything) == 1
    assert len(everything) >= at
    said = " ".join((*result.reasons, *result.findings))
    assert one_sentence(error).rstrip(".") in said


def test_a_failing_compilation_keeps_the_eager_trial():
    probe = FakeProbe(raises={2: RuntimeError("no compiler")})
    result = validate_compile_on(probe, FakeWorkload(), CONFIG, 8)
    assert result.eager.fits and "no compiler" in result.compiled.error


def test_the_trial_says_what_was_run():
    probe = FakeProbe(raises={1: ValueError("first\nsecond")})
    spec = TrialSpec(FakeWorkload(), CONFIG, 24)
    known = FakeProbe().run_trial(dataclasses.replace(spec, batch_size=8))
    trial = attempt(probe, spec, [known])
    assert (trial.batch_size, trial.error) == (24, "ValueError: first")
    assert (trial.source, trial.capacity_bytes) == (known.source, known.capacity_bytes)
