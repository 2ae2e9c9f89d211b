import dataclasses

import pytest

from memorymark.errors import InvalidValue, NotAvailable, WorkloadError
from memorymark.records.event import CancelToken, ignore
from memorymark.records.request import Request, RequestKind
from memorymark.service.execute import load_factory, run_request, simulate
from memorymark.service.history import RunHistory
from memorymark.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, probe_factory="app_probe:make_probe")


def run(request, settings, on_event=ignore):
    return run_request(request, settings, on_event, CancelToken())


def test_analysis_record_is_the_documented_json(settings):
    record = run(Request(RequestKind.ANALYSIS, "bert", gpu="a100-40gb"), settings)
    assert record["model_name"] == "bert"
    assert record["max_batch_size"] == 1216
    assert record["price_per_hour"] is not None


def test_bad_numbers_are_checked_behind_the_widget(settings):
    with pytest.raises(InvalidValue, match="headroom"):
        run(Request(RequestKind.ANALYSIS, "bert", device="cpu", options={"headroom": 7}), settings)
    with pytest.raises(InvalidValue, match="batch"):
        run(
            Request(RequestKind.ANALYSIS, "bert", device="cpu", options={"current_batch_size": -1}),
            settings,
        )


def test_validations_give_their_records(settings):
    backward = run(Request(RequestKind.BACKWARD, "bert", device="cpu", batch_size=4), settings)
    assert backward["batch_size"] == 4
    compiled = run(Request(RequestKind.COMPILE, "bert", device="cpu", batch_size=4), settings)
    assert compiled["break_even_steps"] > 0
    with pytest.raises(NotAvailable, match="measured, not simulated"):
        run(Request(RequestKind.COMPILE, "bert", gpu="l4"), settings)
    with pytest.raises(WorkloadError):
        run(Request(RequestKind.BACKWARD, "own:broken", device="cpu"), settings)


def test_comparison_uses_measured_throughput_where_there_is_some(settings):
    history = RunHistory(settings.history_path)
    record = run(Request(RequestKind.ANALYSIS, "bert", gpu="l4"), settings)
    measured = {
        **record,
        "source": "measured",
        "target": {**record["target"], "source": "measured", "kind": "cuda"},
    }
    run_id = history.save("analysis", measured)
    shares = []
    compared = run(
        Request(RequestKind.COMPARISON, "bert"),
        settings,
        lambda event: shares.append(event.progress),
    )
    rows = {row["gpu"]: row for row in compared["gpus"]}
    assert (rows["l4"]["source"], rows["l4"]["run_id"]) == ("measured", run_id)
    assert rows["t4"]["source"] == "simulated"
    known = [share for share in shares if share is not None]
    assert known == sorted(known)
    assert known[-1] <= 1.0


def test_measurement_of_another_training_is_not_taken(settings):
    history = RunHistory(settings.history_path)
    record = run(Request(RequestKind.ANALYSIS, "bert", gpu="l4"), settings)
    target = {**record["target"], "source": "measured", "kind": "cuda"}
    history.save("analysis", {**record, "source": "measured", "target": target})
    request = Request(RequestKind.COMPARISON, "bert")
    other = dataclasses.replace(
        request, config=dataclasses.replace(request.config, precision="bf16")
    )
    rows = {row["gpu"]: row for row in run(other, settings)["gpus"]}
    assert rows["l4"]["source"] == "simulated"


def test_simulate_runs_one_batch(settings):
    trial = simulate(Request(RequestKind.ANALYSIS, "bert", gpu="l4"), settings, 3)
    assert (trial.batch_size, trial.fits) == (3, True)


@pytest.mark.parametrize("name", ["nowhere:make", "app_probe:nothing", "nonsense"])
def test_factory_that_does_not_exist_is_said(name):
    with pytest.raises(InvalidValue, match="MEMORYMARK_PROBE_FACTORY"):
        load_factory(name)


def test_no_factory_is_none():
    assert load_factory("") is None
