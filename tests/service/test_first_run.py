"""The default analysis: begun once when a server starts, else taken from the history."""

import dataclasses
import threading
import time
from unittest.mock import create_autospec

import pytest
import streamlit
from fakes import FakeProbe, FakeWorkload
from streamlit.testing.v1 import AppTest

from memorymark.analysis.analyze import analyze_on
from memorymark.gpus.catalogue import DEFAULT_GPU, find_gpu
from memorymark.gpus.telemetry import Telemetry
from memorymark.records.analysis import Analysis
from memorymark.records.config import TrainingConfig
from memorymark.records.lever import Lever, LeverReport
from memorymark.records.request import RequestKind
from memorymark.records.trial import Source, Target
from memorymark.service import execute as execute_module
from memorymark.service import first_run
from memorymark.service.access import AppService
from memorymark.service.found_levers import found_levers, levers_request
from memorymark.service.guard import Visitor
from memorymark.service.history import RunHistory, RunStatus
from memorymark.service.run import begun_run
from memorymark.settings import Settings
from memorymark.ui import machine_view


@pytest.fixture(autouse=True)
def versions(monkeypatch):
    """Versions that the fake trials can have: they name no packages."""
    now = {"memorymark": "1", "torch": "2", "transformers": "3"}
    monkeypatch.setattr(first_run, "_version", now.__getitem__)
    monkeypatch.setattr(first_run, "read_telemetry", lambda index: Telemetry())
    return now


def analysis_of(request, versions):
    gpu = find_gpu(request.gpu)
    target = Target(
        gpu.name, "simulated", Source.SIMULATED, gpu.usable_bytes, gpu.total_bytes, gpu_key=gpu.key
    )
    options = dataclasses.replace(request.options, price_per_hour=gpu.usd_per_hour)
    found = analyze_on(FakeProbe(target=target), FakeWorkload("bert"), TrainingConfig(), options)
    return dataclasses.replace(found, software=dict(versions))


def levers_of(request, versions):
    target = analysis_of(request, versions).target
    before = Lever("As it is", {})
    return LeverReport(
        "bert", request.config, target, request.options, before, software=dict(versions)
    )


@pytest.fixture
def make_service(tmp_path, versions):
    services = []

    def done(request, **_):
        is_levers = request.kind is RequestKind.LEVERS
        return (levers_of if is_levers else analysis_of)(request, versions)

    def make(follow_ups=False, **settings):
        execute = create_autospec(execute_module.execute, side_effect=done)
        settings = Settings(home=tmp_path, follow_ups=follow_ups, **settings)
        services.append(AppService(settings, execute))
        return services[-1]

    yield make
    for service in services:
        service.close()


def until(said):
    end = time.monotonic() + 10
    while not said():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def begun(service):
    service.begin()
    until(lambda: not service.jobs.active())
    return service.first_run()


def test_nothing_is_begun_by_a_service_that_serves_nobody(make_service):
    service = make_service()
    assert service.first_run() is None
    assert service.history.list() == []


def test_the_default_analysis_is_a_run_like_others_and_made_once(make_service):
    first = make_service(run_key="a key that the server needs not")
    run_id = begun(first)
    run = first.history.open(run_id)
    assert (run.status, run.model, run.source) == (RunStatus.DONE, "bert", "simulated")
    again = make_service()
    assert begun(again) == run_id
    again._execute_with.assert_not_called()


def test_two_servers_of_one_history_begin_it_once(make_service, versions):
    go = threading.Event()

    def held(request, **_):
        assert go.wait(10)
        return analysis_of(request, versions)

    one, other = make_service(), make_service()
    one._execute_with.side_effect = other._execute_with.side_effect = held
    threads = [threading.Thread(target=service.begin, daemon=True) for service in (one, other)]
    for thread in threads:
        thread.start()
    until(lambda: one.first_run() is not None and other.first_run() == one.first_run())
    go.set()
    for thread in threads:
        thread.join(10)
    until(lambda: [run.status for run in one.history.list("analysis")] == [RunStatus.DONE])
    assert one._execute_with.call_count + other._execute_with.call_count == 1


def test_its_levers_follow_once_and_nobody_has_to_look(make_service):
    service = make_service(follow_ups=True, run_key="a key that the server needs not")
    begun(service)
    until(lambda: service.history.list("levers"))
    (levers,) = service.history.list("levers")
    analysis = Analysis.from_dict(service.history.open(service.first_run()).record)
    request = levers_request(analysis, first_run.first_request())
    assert found_levers(service.history, request, analysis) == levers.run_id
    stranger = Visitor(session="a")
    until(lambda: service.follow_up(request, stranger).run_id == levers.run_id)
    other = dataclasses.replace(request, gpu="t4")
    assert service.follow_up(other, stranger) is None
    again = make_service(follow_ups=True)
    begun(again)
    time.sleep(0.2)
    again._execute_with.assert_not_called()


def test_the_owner_can_leave_it_out(make_service):
    service = make_service(first_run=False)
    assert begun(service) is None
    service._execute_with.assert_not_called()


def test_a_deleted_one_is_none_and_made_anew_at_the_next_start(make_service):
    service = make_service()
    run_id = begun(service)
    service.delete(run_id, Visitor())
    assert service.first_run() is None
    assert begun(make_service()) not in (None, run_id)


@pytest.mark.parametrize("package", ["memorymark", "torch", "transformers"])
def test_other_software_makes_another(make_service, versions, package):
    run_id = begun(make_service())
    versions[package] = "other"
    assert begun(make_service()) != run_id


def test_another_row_of_the_catalogue_makes_another(make_service, monkeypatch):
    run_id = begun(make_service())
    dearer = dataclasses.replace(find_gpu(DEFAULT_GPU), usd_per_hour=99.0)
    monkeypatch.setattr(first_run, "find_gpu", lambda key: dearer)
    assert begun(make_service()) != run_id


def test_a_damaged_run_and_one_of_other_settings_are_passed_over(make_service, tmp_path, versions):
    history, request = RunHistory(tmp_path / "runs.sqlite3"), first_run.first_request()
    other = dataclasses.replace(request, config=TrainingConfig(seq_len=64))
    damaged = begun_run("damaged0", "analysis", request.to_dict(), RunStatus.DONE, "x")
    history.keep(dataclasses.replace(damaged, record={"trials": 3}, source="simulated"))
    wrong = begun_run("othersee", "analysis", other.to_dict(), RunStatus.DONE, "x")
    history.keep(dataclasses.replace(wrong, record=analysis_of(other, versions).to_dict()))
    assert first_run.finished_run(history, request) is None
    assert begun(make_service()) not in ("damaged0", "othersee")


def test_the_machines_own_gpu_is_simulated_where_the_catalogue_has_it(monkeypatch):
    assert first_run.first_request().gpu == DEFAULT_GPU
    for name, gpu in (("NVIDIA L4", "l4"), ("NVIDIA Unheard Of", DEFAULT_GPU)):
        monkeypatch.setattr(first_run, "read_telemetry", lambda index, n=name: Telemetry(name=n))
        assert first_run.first_request().gpu == gpu


def _ask() -> None:
    import streamlit as st

    from memorymark.records.request import RequestKind
    from memorymark.ui.setup.choices import options_to_ask
    from memorymark.ui.setup.current import current_setup

    st.session_state["asked"] = current_setup().request(RequestKind.ANALYSIS, **options_to_ask())


def test_it_is_what_the_page_is_set_to_at_the_start(monkeypatch):
    monkeypatch.setattr(machine_view, "read_telemetry", lambda index: Telemetry())
    streamlit.cache_resource.clear()
    page = AppTest.from_function(_ask).run(timeout=30)
    streamlit.cache_resource.clear()
    assert not page.exception
    request = first_run.first_request()
    assert page.session_state["asked"] == request
    assert request.config == TrainingConfig()


def test_one_that_failed_or_was_stopped_is_no_answer(make_service):
    failing = make_service()
    failing._execute_with.side_effect = OSError("The process ended.")
    assert begun(failing) is None
    assert [run.status for run in failing.history.list()] == [RunStatus.FAILED]
    assert begun(make_service()) is not None


def test_it_is_there_although_the_history_cannot_be_written(make_service, tmp_path):
    (tmp_path / "runs.sqlite3").write_bytes(b"no history" * 1000)
    service = make_service()
    run_id = begun(service)
    assert service.history.open(run_id).status is RunStatus.DONE
