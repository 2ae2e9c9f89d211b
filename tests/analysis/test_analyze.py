from __future__ import annotations

import json

import pytest
from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memorymark.analysis.analyze import analyze_on
from memorymark.errors import Cancelled
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig, with_image_size
from memorymark.records.event import CancelToken, EventKind, trial_line
from memorymark.records.trial import Outcome, Source
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

CONFIG = TrainingConfig()
DESCRIBED = with_image_size(CONFIG)


def analyze(probe: FakeProbe, options: AnalysisOptions | None = None, **more) -> Analysis:
    return analyze_on(probe, FakeWorkload(), CONFIG, options, **more)


def test_the_three_marks_are_trials_and_the_max_is_exact():
    probe = FakeProbe(2 * GIB, 32 * MIB)
    result = analyze(probe)
    outcomes = {trial.batch_size: trial.outcome for trial in result.trials}
    assert result.max.batch_size == 192
    assert outcomes[192] is Outcome.OK
    assert outcomes[200] is Outcome.OOM
    assert result.current.trial.batch_size == 16
    assert result.optimal.trial in result.trials
    assert result.complete
    assert result.stopped_by is None


def test_speedup_is_measured_throughput():
    result = analyze(FakeProbe())
    speeds = {trial.batch_size: trial.samples_per_second for trial in result.trials}
    assert result.speedup == speeds[result.optimal.batch_size] / speeds[16]
    assert result.speedup != pytest.approx(result.batch_ratio)


@given(
    fixed=st.integers(0, 9 * GIB),
    slope=st.integers(1, 2 * GIB),
    current=st.integers(1, 4000),
    granularity=st.sampled_from([1, 8]),
    objective=st.sampled_from(["throughput", "memory"]),
    known=st.booleans(),
)
@example(8_576_849_237, 25_555, 3998, 1, "memory", False)
@settings(max_examples=60, deadline=None)
def test_no_batch_is_tried_twice_and_few_are_tried(
    fixed, slope, current, granularity, objective, known
):
    probe = FakeProbe(fixed, slope, seconds_per_sample=0.001 if known else None)
    options = AnalysisOptions(
        current_batch_size=current, granularity=granularity, objective=objective
    )
    result = analyze(probe, options)
    assert len(probe.batch_sizes) == len(set(probe.batch_sizes))
    assert len(probe.batch_sizes) <= 16
    assert Analysis.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_on_a_slow_device_the_ladder_stays_short():
    probe = FakeProbe(1700 * MIB, 20 * MIB, target=measured_target(2 * GIB))
    result = analyze(probe, AnalysisOptions(granularity=1))
    assert result.max_batch_size == 17
    assert len(result.trials) <= 7


def test_a_good_guess_saves_trials():
    without, with_guess = FakeProbe(), FakeProbe()
    assert analyze(without).max_batch_size == analyze(with_guess, guess=192).max_batch_size
    assert with_guess.batch_sizes[:2] == [192, 200]
    assert len(with_guess.batch_sizes) < len(without.batch_sizes)


def test_a_current_batch_that_does_not_fit_is_not_run():
    probe = FakeProbe()
    result = analyze(probe, AnalysisOptions(current_batch_size=1000))
    assert 1000 not in probe.batch_sizes
    assert result.current.fits is False
    assert result.to_dict()["current_memory_gb"] is None
    assert "does not fit" in result.remarks[0]


def test_a_current_batch_off_the_grid_above_the_max_is_tried():
    probe = FakeProbe(2 * GIB, 32 * MIB)
    result = analyze(probe, AnalysisOptions(current_batch_size=195))
    assert result.max_batch_size == 192
    assert result.current.trial.outcome is Outcome.OOM


def test_the_data_set_bounds_the_batches():
    probe = FakeProbe()
    result = analyze(probe, AnalysisOptions(dataset_size=100, current_batch_size=120))
    assert max(probe.batch_sizes) <= 100
    assert result.max_batch_size == 96
    assert result.current.fits is None


def test_events_tell_of_phases_and_trials_as_they_happen():
    events = []
    result = analyze(FakeProbe(), on_event=events.append)
    finished = [event for event in events if event.kind is EventKind.TRIAL_FINISHED]
    started = [event for event in events if event.kind is EventKind.TRIAL_STARTED]
    assert [event.trial for event in finished] == list(result.trials)
    assert [event.batch_size for event in started] == [t.batch_size for t in result.trials]
    phases = [event.phase for event in events if event.kind is EventKind.PHASE]
    assert phases == ["search", "throughput"]
    shares = [event.progress for event in events if event.progress is not None]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_lines_of_trials():
    probe = FakeProbe(2 * GIB, 32 * MIB, errors={9: "Index out of range."}, thrashing_from=100)
    line = {
        n: trial_line(probe.run_trial(TrialSpec(FakeWorkload(), CONFIG, n)))
        for n in (16, 9, 128, 500)
    }
    assert line[16] == "batch 16: 2.50 GiB, 444 samples/s, ok"
    assert line[9] == "batch 9: error: Index out of range."
    assert line[128].endswith(", ok, allocator retries")
    assert line[500] == "batch 500: out of memory"


def test_cancel_gives_what_is_known_so_far():
    token = CancelToken()

    def stop_after_two(event):
        if event.kind is EventKind.TRIAL_FINISHED and len(probe.calls) == 2:
            token.cancel()

    probe = FakeProbe()
    with pytest.raises(Cancelled) as caught:
        analyze(probe, on_event=stop_after_two, cancel=token)
    partial = caught.value.partial
    assert isinstance(caught.value, Cancelled)
    assert len(partial.trials) == len(probe.calls) == 2
    assert not partial.complete
    assert not partial.nothing_fits
    assert partial.max_batch_size == max(t.batch_size for t in partial.trials if t.fits)
    assert "Cancelled" in partial.stopped_by


@pytest.mark.parametrize("at", [1, 3, 5])
def test_an_interrupt_gives_what_is_known_so_far(at):
    probe = FakeProbe(raises={at: KeyboardInterrupt()})
    with pytest.raises(Cancelled) as caught:
        analyze(probe)
    assert len(caught.value.partial.trials) == at - 1
    assert Analysis.from_dict(caught.value.partial.to_dict()) == caught.value.partial


def test_an_error_of_the_model_is_said():
    result = analyze(FakeProbe(errors={8: "CUDNN_STATUS_NOT_SUPPORTED"}))
    assert not result.complete
    assert not result.nothing_fits
    assert result.stopped_by == "CUDNN_STATUS_NOT_SUPPORTED"
    assert result.advice == ()


def test_an_error_late_in_the_search_leaves_a_partial_result():
    probe = FakeProbe(memory=lambda n: n * 100 * MIB, errors={81: "No.", 80: "No."})
    result = analyze(probe)
    assert result.stopped_by == "No."
    assert result.max_batch_size == 8
    assert result.optimal.batch_size is not None


def test_nothing_fits_says_what_to_change():
    result = analyze(FakeProbe(9 * GIB))
    assert result.nothing_fits
    assert result.to_dict()["max_batch_size"] is None
    texts = " ".join(advice.text for advice in result.advice)
    for word in ("checkpointing", "bf16", "SGD", "Shorter", "more memory"):
        assert word in texts
    assert {advice.saved_bytes for advice in result.advice} == {None}


def test_nothing_fits_when_measured_asks_the_simulation_of_the_device():
    simulation = FakeProbe(50 * GIB, 4 * GIB, target=simulated_target(), oom_readings=True)
    result = analyze_on(FakeProbe(9 * GIB, simulation=simulation), FakeWorkload(), CONFIG)
    assert result.nothing_fits and result.target.source is Source.MEASURED
    assert {trial.source for trial in result.trials} == {Source.MEASURED}
    assert any(advice.saved_bytes is not None for advice in result.advice)


def test_nothing_fits_in_simulation_tries_each_change():
    probe = FakeProbe(50 * GIB, 4 * GIB, target=simulated_target(), oom_readings=True)
    result = analyze(probe)
    assert result.nothing_fits
    by_change = {tuple(advice.change): advice for advice in result.advice}
    checkpointing = by_change[("gradient_checkpointing",)]
    assert checkpointing.saved_bytes == 3 * GIB
    assert checkpointing.fits is False
    assert result.target.source is Source.SIMULATED
    assert [trial.config for trial in result.trials] == [DESCRIBED] * len(result.trials) != []


def test_a_current_batch_that_does_not_fit_is_told_what_would_make_room():
    probe = FakeProbe(target=simulated_target(8 * GIB), oom_readings=True)
    result = analyze(probe, AnalysisOptions(current_batch_size=256))
    assert result.max_batch_size == 192 and result.current.fits is False
    checkpointing = result.advice[0]
    assert checkpointing.change == {"gradient_checkpointing": True}
    assert (checkpointing.batch_size, checkpointing.fits) == (256, True)
    assert checkpointing.saved_bytes == 6 * GIB
    assert [trial.config for trial in result.trials] == [DESCRIBED] * len(result.trials) != []
    assert analyze(FakeProbe(target=simulated_target(8 * GIB))).advice == ()


def test_what_a_simulation_cannot_run_is_advised_in_words():
    own = FakeWorkload()
    own.runs_own_code = True
    simulation = FakeProbe(target=simulated_target())
    result = analyze_on(FakeProbe(9 * GIB, simulation=simulation), own, CONFIG)
    assert result.advice and simulation.calls == []


def test_thrashing_is_a_finding():
    result = analyze(FakeProbe(thrashing_from=150))
    assert any("freeing cached memory" in finding for finding in result.findings)


def test_nothing_here_needs_torch():
    import subprocess
    import sys

    script = (
        "import sys, memorymark.analysis.analyze, memorymark.analysis.validate\n"
        "assert not {'torch', 'transformers', 'streamlit', 'altair'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_max_that_is_the_bound_is_said_to_be_one():
    bounded = analyze_on(
        FakeProbe(), FakeWorkload(), TrainingConfig(), AnalysisOptions(dataset_size=3)
    )
    assert bounded.max_batch_size == 3
    assert any("the limit that was set" in text for text in bounded.findings)
    free = analyze_on(FakeProbe(), FakeWorkload(), TrainingConfig(), AnalysisOptions())
    assert free.findings == ()
