from __future__ import annotations

import json

import pytest
from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target

from memorymark.analysis.search import find_max_batch
from memorymark.analysis.validate import (
    BackwardValidation,
    CompileValidation,
    validate_backward_on,
    validate_compile_on,
)
from memorymark.errors import Cancelled, InvalidValue
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, EventKind
from memorymark.records.trial import GradientCheck, Outcome, Stage
from memorymark.records.validation import Verdict
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

CONFIG = TrainingConfig()


def backward(probe: FakeProbe, batch_size: int = 16, **more) -> BackwardValidation:
    return validate_backward_on(probe, FakeWorkload(), CONFIG, batch_size, **more)


def compiled(probe: FakeProbe, **more) -> CompileValidation:
    return validate_compile_on(probe, FakeWorkload(), CONFIG, 16, **more)


def test_the_four_stages_run_once_each_at_the_batch():
    probe = FakeProbe()
    result = backward(probe)
    first, later = probe.calls[:4], probe.calls[4:]
    assert [(n, stage) for n, stage, _ in first] == [(16, stage) for stage in Stage]
    assert 16 not in [n for n, _, _ in later] and len(later) > 4
    assert [trial.stage for trial in result.trials] == list(Stage)
    assert result.max_batch_size == 192


def test_the_ratio_is_backward_over_forward_only_with_weights():
    result = backward(FakeProbe(2 * GIB, 32 * MIB))
    forward_only = 512 * MIB + 16 * 32 * MIB // 8
    assert result.ratio == pytest.approx((1024 + 512) * MIB / forward_only)
    assert result.verdict is Verdict.PASS
    assert result.weights_bytes == 512 * MIB
    assert "(typical)" in " ".join(result.reasons)


@pytest.mark.parametrize(("per_sample", "word"), [(200, "above"), (0, "below")])
def test_an_unusual_ratio_warns_in_words(per_sample, word):
    probe = FakeProbe(2 * GIB, per_sample * MIB, target=measured_target(40 * GIB))
    if word == "below":
        probe.fixed_bytes, probe.memory = 0, lambda n: GIB
    result = backward(probe)
    assert result.verdict is Verdict.WARN
    assert f"{word} the typical 2 to 3" in result.reasons[0]


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (GradientCheck(10, 8, True, 100, 80, ("a.weight", "b.bias")), "2 of 10 trainable"),
        (GradientCheck(10, 10, False, 100, 100), "not finite"),
        (GradientCheck(10, 10, True, 100, 90), "should be equal"),
        (GradientCheck(0, 0, True, 0, 0), "no trainable parameter"),
    ],
)
def test_bad_gradients_fail(check, sentence):
    result = backward(FakeProbe(gradient_check=check))
    assert result.verdict is Verdict.FAIL
    assert sentence in result.reasons[0]
    assert result.gradients == check


def test_in_simulation_it_says_that_finiteness_is_unknown():
    result = backward(FakeProbe(target=simulated_target()))
    assert result.verdict is Verdict.PASS
    assert result.gradients.finite is None
    assert any("simulation has no values" in reason for reason in result.reasons)


def test_the_forward_only_recommendation_lies_beyond_the_true_max():
    probe = FakeProbe(2 * GIB, 32 * MIB)
    result = backward(probe)
    assert result.max_batch_size == 192
    assert result.forward_only_max_batch_size == (8 * GIB - 512 * MIB) // (4 * MIB)
    assert result.overestimate == 10
    ran = [(n, stage) for n, stage, _ in probe.calls]
    assert len(ran) == len(set(ran))
    alone = find_max_batch(lambda n: FakeProbe().run_trial(TrialSpec(FakeWorkload(), CONFIG, n)))
    assert result.max_batch_size == alone.max_batch_size


def test_a_batch_out_of_memory_warns_and_leaves_the_ratio_unknown():
    result = backward(FakeProbe(2 * GIB, 32 * MIB), 400)
    assert result.verdict is Verdict.WARN
    assert result.ratio is None
    assert "Out of memory in" in result.reasons[0]
    assert result.max_batch_size == 192


def test_a_stage_that_errors_fails():
    result = backward(FakeProbe(errors={16: "No kernel."}))
    assert result.verdict is Verdict.FAIL
    assert "No kernel." in result.reasons[0]


def test_a_search_that_stops_early_is_a_finding():
    result = backward(FakeProbe(errors={8: "No kernel."}))
    assert result.findings == ("A search stopped early: No kernel.",)


def test_backward_round_trip_through_json():
    for probe in (FakeProbe(), FakeProbe(errors={16: "No."})):
        result = backward(probe)
        assert BackwardValidation.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_events_and_cancelling():
    events = []
    backward(FakeProbe(), on_event=events.append)
    lines = [event.text for event in events if event.kind is EventKind.TRIAL_FINISHED]
    assert sum("batch 16:" in line for line in lines) == 4
    assert lines[0].startswith("forward only, under no_grad, batch 16: ")
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        backward(FakeProbe(), cancel=token)


def test_a_batch_size_out_of_range_is_refused():
    with pytest.raises(InvalidValue):
        backward(FakeProbe(), 0)


def test_compiling_that_pays_says_after_how_many_steps():
    result = compiled(FakeProbe(compile_speedup=2.0, compile_seconds=9.0))
    assert result.speedup == pytest.approx(2.0)
    assert result.compile_seconds == pytest.approx(9.0)
    assert result.break_even_steps == pytest.approx(9.0 / 0.018, abs=1)
    assert result.verdict is Verdict.PASS
    assert "break-even after 500 steps" in result.reasons[1].replace("501", "500")


def test_compiling_that_never_pays():
    result = compiled(FakeProbe(compile_speedup=0.9))
    assert result.break_even_steps is None
    assert result.verdict is Verdict.WARN
    assert "No break-even" in result.reasons[1]


def test_a_compile_failure_is_a_result():
    result = compiled(FakeProbe(compile_error="No C++ compiler was found."))
    assert result.compiled.outcome is Outcome.ERROR
    assert result.verdict is Verdict.FAIL
    assert result.reasons == ("The compiled step failed: No C++ compiler was found.",)
    assert result.break_even_steps is None


def test_both_configs_are_run_whatever_was_given():
    probe = FakeProbe()
    validate_compile_on(probe, FakeWorkload(), TrainingConfig(compile=True), 16)
    assert [config.compile for _, _, config in probe.calls] == [False, True]


def test_unknown_step_times_are_said():
    result = compiled(FakeProbe(seconds_per_sample=None))
    assert result.verdict is Verdict.WARN
    assert "Step times are unknown" in result.reasons[0]


@pytest.mark.parametrize("error", [None, "No."])
def test_compile_round_trip_through_json(error):
    result = compiled(FakeProbe(compile_error=error))
    assert CompileValidation.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def stop_after(count):
    token, seen = CancelToken(), []

    def on_event(event):
        if event.kind is EventKind.TRIAL_FINISHED:
            seen.append(event)
            if len(seen) == count:
                token.cancel()

    return token, on_event, seen


@pytest.mark.parametrize("count", [1, 3, 4, 6])
def test_a_stopped_validation_keeps_its_finished_stages(count):
    token, on_event, seen = stop_after(count)
    with pytest.raises(Cancelled) as stop:
        backward(FakeProbe(), cancel=token, on_event=on_event)
    partial = stop.value.partial
    assert BackwardValidation.from_dict(partial.to_dict()) == partial == seen[-1].known()
    assert sum(trial.fits for trial in partial.trials) == min(count, 4)
    assert [trial.stage for trial in partial.trials] == list(Stage)
    assert len(partial.search_trials) == max(count - 4, 0)
    assert partial.verdict is (Verdict.PASS if count >= 4 else Verdict.WARN)
    assert partial.reasons[0].startswith("Stopped early: ")
    assert partial.max_batch_size is None


def test_a_validation_that_was_stopped_at_once_knows_nothing():
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled) as stop:
        backward(FakeProbe(), cancel=token)
    assert stop.value.partial is None


def test_a_stopped_compile_validation_keeps_its_eager_step():
    token, on_event, seen = stop_after(1)
    with pytest.raises(Cancelled) as stop:
        compiled(FakeProbe(), cancel=token, on_event=on_event)
    partial = stop.value.partial
    assert CompileValidation.from_dict(partial.to_dict()) == partial == seen[-1].known()
    assert partial.eager.fits and partial.compiled.error == "Not run: stopped before."
    assert partial.verdict is Verdict.WARN and partial.speedup is None
