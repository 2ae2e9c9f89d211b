import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis import prediction
from memorymark.analysis.prediction import extrapolated_max_batch, gpu_of, predict_max_batch
from memorymark.errors import Cancelled
from memorymark.gpus.catalogue import find_gpu
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken
from memorymark.records.trial import Outcome, Source, Target, Trial
from memorymark.units import GIB


def card(kind="cuda", *, key=None, total=24 * GIB, capacity=None):
    return Target("A card", kind, Source.MEASURED, capacity or total, total, key)


class Workload(FakeWorkload):
    runs_own_code = False


def predict(target, **given):
    words = {"workload": Workload(), "config": TrainingConfig(), "options": AnalysisOptions()}
    return predict_max_batch(target, **{**words, "cancel": CancelToken(), **given})


def test_a_card_of_the_catalogue_is_its_row():
    assert gpu_of(card(key="a10")) == find_gpu("a10")


def test_another_card_is_one_of_its_generation_with_its_own_memory():
    gpu = gpu_of(card(total=10 * GIB), (8, 6))
    assert (gpu.compute_capability, gpu.total_bytes, gpu.name) == ((8, 6), 10 * GIB, "A card")
    assert gpu_of(card(), (1, 0)) is None
    assert gpu_of(card(), None) is None
    assert gpu_of(card("cpu"), (8, 6)) is None


def test_the_simulated_boundary_within_the_budget(monkeypatch):
    made = []

    def probe(gpu, budget_bytes):
        made.append(budget_bytes)
        return FakeProbe(target=simulated_target(budget_bytes or gpu.usable_bytes))

    monkeypatch.setattr(prediction, "simulated_probe", probe)
    total = find_gpu("a10").total_bytes
    whole = predict(card(key="a10", total=total))
    small = predict(card(key="a10", total=total, capacity=6 * GIB))
    assert made == [None, 6 * GIB]
    assert whole > small == 128
    assert predict(card(key="a10"), options=AnalysisOptions(max_batch_size=40)) == 40


def test_nothing_is_predicted_where_nothing_fits(monkeypatch):
    monkeypatch.setattr(
        prediction, "simulated_probe", lambda *a: FakeProbe(target=simulated_target(GIB))
    )
    assert predict(card(key="a10")) is None


def test_only_cancelling_gets_through(monkeypatch):
    def broken(gpu, budget_bytes):
        raise RuntimeError("no rule for this operation")

    monkeypatch.setattr(prediction, "simulated_probe", broken)
    assert predict(card(key="a10")) is None
    monkeypatch.setattr(prediction, "simulated_probe", lambda *a: FakeProbe())
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        predict(card(key="a10"), cancel=token)


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
