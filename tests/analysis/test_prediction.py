import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.prediction import extrapolated_max_batch, predict_max_batch
from memorymark.errors import Cancelled
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, ignore
from memorymark.records.trial import Outcome, Source, Trial
from memorymark.units import GIB


def predict(simulation: FakeProbe | None, **given):
    probe = FakeProbe(simulation=simulation)
    words = {"workload": FakeWorkload(), "config": TrainingConfig(), "options": AnalysisOptions()}
    words |= {"on_event": ignore, "cancel": CancelToken()}
    return predict_max_batch(probe, **{**words, **given})


def simulated(capacity_bytes=8 * GIB, **how):
    return FakeProbe(target=simulated_target(capacity_bytes), **how)


def test_the_boundary_of_the_simulation_is_expected():
    events = []
    assert predict(simulated(), on_event=events.append) == 192
    assert "about 192" in events[0].text
    assert predict(simulated(6 * GIB)) == 128
    assert predict(simulated(), options=AnalysisOptions(max_batch_size=40)) == 40


def test_what_cannot_be_simulated_is_not_expected_anywhere():
    assert predict(None) is None
    assert predict(simulated(), config=TrainingConfig(compile=True)) is None
    own = FakeWorkload()
    own.runs_own_code = True
    assert predict(simulated(), workload=own) is None


def test_a_simulated_search_is_not_simulated_before():
    probe = simulated()
    words = (FakeWorkload(), TrainingConfig(), AnalysisOptions(), ignore, CancelToken())
    assert predict_max_batch(probe, *words) is None
    assert probe.calls == []


def test_nothing_is_expected_where_nothing_fits():
    assert predict(simulated(GIB)) is None


def test_a_simulation_that_fails_is_said_and_costs_nothing_else():
    events = []
    broken = simulated(raises={1: RuntimeError("no rule for this operation")})
    assert predict(broken, on_event=events.append) is None
    assert "RuntimeError: no rule for this operation" in events[0].text


def test_cancelling_gets_through():
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        predict(simulated(), cancel=token)


def _trial(batch_size: int, minimum_bytes: int | None) -> Trial:
    return Trial(
        model="any", batch_size=batch_size, config=TrainingConfig(), source=Source.SIMULATED,
        device="any", outcome=Outcome.OK, minimum_bytes=minimum_bytes,
    )  # fmt: skip


def test_the_max_batch_is_extrapolated_from_other_gpus():
    trials = [_trial(8, 1800), _trial(16, 2600), _trial(32, None)]
    assert extrapolated_max_batch(trials, 10_050, 8) == 88  # 1000 + 100 n
    assert extrapolated_max_batch(trials, 900, 8) == 8


def test_without_two_readings_nothing_is_extrapolated():
    assert extrapolated_max_batch([], 10_000, 8) is None
    assert extrapolated_max_batch([_trial(8, 1800)], 10_000, 8) is None
    assert extrapolated_max_batch([_trial(8, 1800), _trial(16, 1700)], 10_000, 8) is None
