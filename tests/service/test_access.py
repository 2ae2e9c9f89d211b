import threading
import time
from dataclasses import replace
from unittest.mock import create_autospec

import pytest
from fakes import FakeProbe, FakeWorkload

from memorymark.errors import NotAllowed, RunNotFound, UsageError
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.request import Request, RequestKind
from memorymark.service import access
from memorymark.service import execute as execute_module
from memorymark.service.access import AppService, Visitor, check_model
from memorymark.service.history import RunStatus
from memorymark.settings import Settings, load_settings
from memorymark.workloads.trial_spec import TrialSpec

REQUEST = Request(RequestKind.ANALYSIS, "bert", device="cpu")


@pytest.fixture
def make_service(tmp_path):
    services, go = [], threading.Event()

    def wait(request, **how):
        assert go.wait(10)
        return FakeProbe().run_trial(TrialSpec(FakeWorkload(), request.config, 1))

    def make(**settings):
        execute = create_autospec(execute_module.execute, side_effect=wait)
        service = AppService(Settings(home=tmp_path, **settings), execute)
        services.append(service)
        return service

    yield make
    go.set()
    for service in services:
        service.jobs.close()


def test_open_door_starts_and_joins_equal_requests(make_service):
    service = make_service()
    job = service.start(REQUEST, Visitor())
    assert (
        service.start(replace(REQUEST, options=AnalysisOptions(price_per_hour=9.0)), Visitor("b"))
        is job
    )
    assert job.device == "cpu:0"


def test_run_key_guards_start_cancel_and_delete(make_service):
    service = make_service(run_key="sésame")
    for visitor in (Visitor(), Visitor(run_key="no"), Visitor("somebody@example.org")):
        with pytest.raises(NotAllowed, match="run key"):
            service.start(REQUEST, visitor)
    job = service.start(REQUEST, Visitor(run_key="sésame"))
    with pytest.raises(NotAllowed):
        service.cancel(job.run_id, Visitor())
    with pytest.raises(NotAllowed):
        service.delete(job.run_id, Visitor())
    assert service.history.open(job.run_id).status.is_active
    service.cancel(job.run_id, Visitor(run_key="sésame"))


def test_sign_in_guards_and_may_be_limited(make_service):
    service = make_service(sign_in=True, allowed_users=("a@example.org",))
    with pytest.raises(NotAllowed, match="Sign-in"):
        service.check(Visitor())
    with pytest.raises(NotAllowed, match="may view"):
        service.check(Visitor("b@example.org"))
    service.check(Visitor("a@example.org"))


def test_active_runs_are_not_deleted(make_service):
    service = make_service()
    job = service.start(REQUEST, Visitor())
    with pytest.raises(NotAllowed, match="active"):
        service.delete(job.run_id, Visitor())
    run_id = service.history.save("analysis", {"model_name": "bert"})
    service.delete(run_id, Visitor())
    with pytest.raises(RunNotFound):
        service.history.open(run_id)


def test_queue_is_bounded(make_service, monkeypatch):
    monkeypatch.setattr(access, "MAX_ACTIVE_JOBS", 2)
    service = make_service()
    for number in (1, 2):
        service.start(replace(REQUEST, batch_size=number), Visitor())
    with pytest.raises(NotAllowed, match="already active"):
        service.start(replace(REQUEST, batch_size=3), Visitor())
    assert [job.status for job in service.jobs.active()].count(RunStatus.QUEUED) >= 1


@pytest.mark.parametrize(
    "model",
    ["bert", "resnet", "torchvision:vgg16", "hf:google-bert/bert-base-uncased", "a/b", "my.pkg:fn"],
)
def test_models_that_pass(tmp_path, model):
    check_model(model, Settings(home=tmp_path, workloads=("my.pkg:fn",)))


@pytest.mark.parametrize(
    "model",
    ["hf:/etc", "hf:../x", "hf:~/m", "hf:a/b/c", "./model", "my.pkg:fn", "os:system", "hf:..",
     "timm:../x"],
)  # fmt: skip
def test_folders_and_code_do_not_pass(tmp_path, model):
    with pytest.raises(NotAllowed):
        check_model(model, Settings(home=tmp_path))


def test_hub_id_that_is_a_folder_does_not_pass(tmp_path, monkeypatch):
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotAllowed, match="folder"):
        check_model("hf:org/model", Settings(home=tmp_path))


def test_nonsense_is_no_model(tmp_path):
    for model in ("", "be rt", "bert;ls"):
        with pytest.raises(UsageError):
            check_model(model, Settings(home=tmp_path))


def test_settings_come_from_the_environment(tmp_path):
    settings = load_settings(
        {
            "MEMORYMARK_HOME": str(tmp_path),
            "MEMORYMARK_RUN_KEY": "k",
            "MEMORYMARK_SIGN_IN": "1",
            "MEMORYMARK_ALLOWED_USERS": "a@x.org, b@x.org",
            "MEMORYMARK_WORKLOADS": "p:f",
        }
    )
    assert settings == Settings(tmp_path, "k", True, ("a@x.org", "b@x.org"), ("p:f",))
    assert load_settings({}).home.name == "memorymark"


def test_a_batch_is_simulated_only_of_a_model_that_may_run(make_service):
    service = make_service()
    asked = Request(RequestKind.ANALYSIS, "os:system", gpu="l4")
    end = time.monotonic() + 10
    assert service.estimate(asked, 4) is None
    while service.is_estimating(asked, 4):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert service.estimate(asked, 4) is None
    service._execute_with.assert_not_called()


@pytest.mark.parametrize(
    "device",
    ["../../x", "cuda:../x", "cuda:999", "cpu\x00", "cpu:1" * 1_000, "", "gpu", "cuda:0\n"],
)
def test_a_device_that_no_machine_has_gets_no_queue(make_service, device):
    service = make_service()
    with pytest.raises(UsageError, match="is no device"):
        service.start(replace(REQUEST, device=device), Visitor())
    assert service.history.list() == []


def test_a_model_of_a_megabyte_is_refused_in_a_short_sentence(tmp_path):
    for model in ("a" * 1_000_000, "torchvision:" + "a" * 1_000_000):
        with pytest.raises(UsageError, match="at most 200") as refused:
            check_model(model, Settings(home=tmp_path))
        assert len(str(refused.value)) < 200


def test_addresses_are_compared_as_e_mail_is(make_service):
    service = make_service(sign_in=True, allowed_users=("ada@example.org",))
    service.check(Visitor(" Ada@Example.ORG"))
    for user in ("ada@example.org.evil.example", "ada@example.or", "\u212ada@example.org", ""):
        with pytest.raises(NotAllowed):
            service.check(Visitor(user))


def test_what_only_starters_see_is_no_guess(make_service, caplog):
    service = make_service(run_key="sesame")
    for number in range(100):
        assert not service.may_start(Visitor(run_key=f"guess {number}", visit="v"))
    assert not service.may_start(Visitor(run_key="sesame", visit="v"))  # not proved yet
    service.check(Visitor(run_key="sesame", visit="v"))
    assert service.may_start(Visitor(run_key="sesame", visit="v"))
    assert not caplog.records


def test_both_guards_are_asked(make_service):
    service = make_service(run_key="sesame", sign_in=True, allowed_users=("a@x.org",))
    service.check(Visitor("a@x.org", "sesame", "v"))
    assert service.may_start(Visitor("a@x.org", "sesame", "v"))
    for visitor in (Visitor(None, "sesame", "v"), Visitor("b@x.org", "sesame", "v")):
        assert not service.may_start(visitor)
        with pytest.raises(NotAllowed):
            service.check(visitor)
