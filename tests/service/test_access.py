import threading
import time
from dataclasses import replace
from unittest.mock import create_autospec

import pytest
from fakes import FakeProbe, FakeWorkload

from memorymark.bounds import Bounds
from memorymark.errors import NotAllowed, RunNotFound, UsageError
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.request import Request, RequestKind
from memorymark.service import access, admission
from memorymark.service import execute as execute_module
from memorymark.service.access import AppService
from memorymark.service.guard import Visitor
from memorymark.service.history import RunStatus
from memorymark.service.worker_process import WorkerBounds
from memorymark.settings import Settings, load_settings
from memorymark.workloads.trial_spec import TrialSpec

REQUEST = Request(RequestKind.ANALYSIS, "bert", device="cpu")


def until(said, seconds=60.0):
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


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
        service.close()


@pytest.mark.parametrize("second", ["hf:/etc", "mine:factory", "hf:./x"])
def test_a_second_model_is_held_to_what_the_first_is(make_service, second):
    service = make_service()
    asked = Request(RequestKind.GENERATE, "gpt2", generation=GenerationPlan(blend=second))
    with pytest.raises(NotAllowed):
        service.start(asked, Visitor(session="a"))
    service = make_service(workloads=(second,))
    service.start(asked, Visitor(session="a"))


LISTED = Request(RequestKind.ANALYSIS, "bert", gpu="t4")


def is_estimating(service, request):
    one = replace(request, kind=RequestKind.ESTIMATE, batch_size=4, options=AnalysisOptions())
    return service.estimates.is_pending(one)


@pytest.mark.parametrize("model", ["bert", "hf:openai-community/gpt2", "llama-3.1-8b"])
def test_models_of_the_list_are_estimated_for_everybody(make_service, model):
    service = make_service(run_key="secret")
    asked, visitor = replace(LISTED, model=model), Visitor(session="a")
    assert service.estimate(asked, 4, visitor) is None
    until(lambda: service._execute_with.called)


@pytest.mark.parametrize(
    "asked",
    [
        replace(LISTED, model="hf:somebody/something"),
        replace(LISTED, model="torchvision:vit_b_16"),
        replace(LISTED, model="package.module:factory"),
        replace(LISTED, model="hf:/etc"),
        replace(LISTED, model="x" * 10_000),
        replace(LISTED, config=TrainingConfig(seq_len=10_000_000)),
        replace(LISTED, config=TrainingConfig(gradient_accumulation=1_000_000)),
    ],
)
def test_who_may_not_start_work_starts_none_by_asking_for_an_estimate(make_service, asked):
    service, known = make_service(run_key="secret"), Visitor(run_key="secret", session="b")
    for visitor in (Visitor(session="a"), Visitor(run_key="wrong", session="a")):
        answer = service.estimate(asked, 4, visitor)
        assert answer.trial is None and "Enter the run key in the sidebar." in answer.error
        assert not is_estimating(service, asked)
    service._execute_with.assert_not_called()
    service.check(known)
    assert service.estimate(asked, 4, known) is None
    signing = make_service(sign_in=True)
    assert "sign in" in signing.estimate(asked, 4, Visitor(session="a")).error
    assert signing.estimate(asked, 4, Visitor("ada@example.org")) is None
    assert make_service().estimate(asked, 4, Visitor()) is None  # a door that is open to all


def test_open_door_starts_and_joins_equal_requests(make_service):
    service = make_service()
    job = service.start(REQUEST, Visitor())
    assert (
        service.start(replace(REQUEST, options=AnalysisOptions(price_per_hour=9.0)), Visitor("b"))
        is job
    )
    assert job.device == "cpu:0"


LEVERS = Request(RequestKind.LEVERS, "bert", gpu="l4")


def test_what_nobody_pressed_for_gives_way_to_a_job(make_service):
    service, visitor = make_service(), Visitor(session="a")
    assert service.follow_up(LEVERS, visitor).status is RunStatus.QUEUED
    until(lambda: service.follow_up(LEVERS, visitor).status is RunStatus.RUNNING)
    token = service.follow_ups._running.cancel
    job = service.start(REQUEST, visitor)
    assert token.cancelled and job.status.is_active
    again = make_service()
    again.start(REQUEST, visitor)
    again.follow_up(LEVERS, visitor)
    time.sleep(0.25)
    assert again.follow_up(LEVERS, visitor).status is RunStatus.QUEUED


def test_nothing_is_done_by_itself_for_who_may_not_start_it(make_service):
    service, known = make_service(run_key="secret"), Visitor(run_key="secret", session="b")
    stranger = Visitor(session="a")
    assert service.follow_up(LEVERS, stranger) is None
    service.check(known)
    assert service.follow_up(LEVERS, known).status is RunStatus.QUEUED
    with pytest.raises(NotAllowed):
        service.stop_follow_up(LEVERS, stranger)
    assert service.follow_up(LEVERS, stranger).status.is_active
    service.stop_follow_up(LEVERS, known)
    assert service.follow_up(LEVERS, known).status is RunStatus.CANCELLED
    assert service.follow_up(replace(LEVERS, model="os:system"), known) is None
    assert make_service(follow_ups=False).follow_up(LEVERS, known) is None


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
    monkeypatch.setattr(admission, "MAX_ACTIVE_JOBS", 2)
    service = make_service()
    for number in (1, 2):
        service.start(replace(REQUEST, batch_size=number), Visitor())
    with pytest.raises(NotAllowed, match="already active"):
        service.start(replace(REQUEST, batch_size=3), Visitor())
    assert [job.status for job in service.jobs.active()].count(RunStatus.QUEUED) >= 1


def test_an_equal_request_is_joined_where_no_place_is_left(make_service, monkeypatch):
    monkeypatch.setattr(admission, "MAX_ACTIVE_JOBS", 1)
    service = make_service()
    job = service.start(REQUEST, Visitor())
    assert service.start(REQUEST, Visitor(session="other")) is job


def test_a_visitor_has_a_share_of_the_places(make_service, monkeypatch):
    monkeypatch.setattr(admission, "MAX_JOBS_OF_A_VISITOR", 2)
    service = make_service()
    one = Visitor(address="192.0.2.1", session="first")
    for number in (1, 2):
        service.start(replace(REQUEST, batch_size=number), one)
    for same in (one, replace(one, session="second")):
        with pytest.raises(NotAllowed, match=r"2 of your jobs .* share of the 20 places"):
            service.start(replace(REQUEST, batch_size=3), same)
    assert service.start(replace(REQUEST, batch_size=1), one)
    assert service.start(replace(REQUEST, batch_size=3), Visitor(address="192.0.2.2"))
    service.cancel(service.jobs.active()[1].run_id, one)
    assert service.start(replace(REQUEST, batch_size=4), one)


def test_visitors_are_told_apart_by_the_best_that_is_known():
    assert Visitor("a@x.org", None, "192.0.2.1", "s").name == "a@x.org"
    assert Visitor(None, "key", "192.0.2.1", "s").name == "192.0.2.1"
    assert Visitor(session="s").name == "s"
    # Who has one address of IPv6 has all of its network.
    assert {Visitor(address=f"2001:db8::{n}").name for n in range(1, 8)} == {"2001:db8::/64"}


@pytest.mark.parametrize("is_one_visitor", [False, True])
def test_the_places_hold_under_a_race(make_service, is_one_visitor):
    service, starting, outcomes = make_service(), threading.Barrier(60), []

    def start(number):
        visitor = Visitor(session="same" if is_one_visitor else str(number))
        starting.wait(10)
        try:
            outcomes.append(service.start(replace(REQUEST, batch_size=number + 1), visitor))
        except NotAllowed:
            outcomes.append(None)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    places = admission.MAX_JOBS_OF_A_VISITOR if is_one_visitor else admission.MAX_ACTIVE_JOBS
    assert len(outcomes) == 60
    assert len([job for job in outcomes if job]) == len(service.jobs.active()) == places


@pytest.mark.parametrize("device", ["cuda:5000", "cuda:64", "tpu", "cpu:3", "cuda:" + "9" * 300])
def test_a_device_that_no_machine_has_gets_no_queue(make_service, device):
    service = make_service()
    with pytest.raises(UsageError):
        service.start(replace(REQUEST, device=device), Visitor())
    assert service.jobs.active() == []


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


def test_work_is_done_in_a_process_that_can_be_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    names = ("own:stuck", "own:vanish")
    settings = Settings(tmp_path, workloads=names, probe_factory="worker_probe:make_probe")
    service, visitor = AppService(settings), Visitor()
    stuck = service.start(replace(REQUEST, model="own:stuck"), visitor)
    broken = service.start(replace(REQUEST, model="own:vanish"), visitor)
    fine = service.start(replace(REQUEST, model="bert"), visitor)
    until(lambda: sum(event.batch_size is not None for event in stuck.events) == 5)
    service.cancel(stuck.run_id, visitor)
    until(lambda: not service.jobs.active())
    statuses = [job.status for job in (stuck, broken, fine)]
    assert statuses == [RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.DONE]
    for job in (stuck, broken):  # what was found is kept
        assert len(service.history.open(job.run_id).record["trials"]) == 2
    assert "exit code 7" in service.history.open(broken.run_id).error
    simulated = replace(REQUEST, device=None, gpu="l4")
    assert service.estimate(simulated, 4, visitor) is None
    until(lambda: service.estimate(simulated, 4, visitor))
    assert service.estimate(simulated, 4, visitor).trial.batch_size == 4
    service.close()
    assert service.workers.workers == ()


def test_a_batch_is_simulated_only_of_a_model_that_may_run(make_service):
    service = make_service()
    asked = Request(RequestKind.ANALYSIS, "os:system", gpu="l4")
    end = time.monotonic() + 10
    assert service.estimate(asked, 4, Visitor()) is None
    while (answer := service.estimate(asked, 4, Visitor())) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert answer.trial is None
    assert "would run custom code" in answer.error
    service._execute_with.assert_not_called()


@pytest.mark.parametrize(
    "device",
    ["../../x", "cuda:../x", " cpu", "CPU", "cuda:00", "cpu\x00", "", "gpu", "cuda:0\n", "cuda:١"],
)
def test_an_odd_name_of_a_device_gets_no_queue(make_service, device):
    service = make_service()
    with pytest.raises(UsageError, match="device"):
        service.start(replace(REQUEST, device=device), Visitor())
    assert service.history.list() == []


def test_addresses_are_compared_as_e_mail_is(make_service):
    service = make_service(sign_in=True, allowed_users=("ada@example.org",))
    service.check(Visitor(" Ada@Example.ORG"))
    for user in ("ada@example.org.evil.example", "ada@example.or", "\u212ada@example.org", ""):
        with pytest.raises(NotAllowed):
            service.check(Visitor(user))


def test_what_only_starters_see_is_no_guess(make_service, caplog):
    service = make_service(run_key="sesame")
    for number in range(100):
        assert not service.may_start(Visitor(run_key=f"guess {number}", session="v"))
    assert not service.may_start(Visitor(run_key="sesame", session="v"))  # not proved yet
    service.check(Visitor(run_key="sesame", session="v"))
    assert service.may_start(Visitor(run_key="sesame", session="v"))
    assert not caplog.records


def test_both_guards_are_asked(make_service):
    service = make_service(run_key="sesame", sign_in=True, allowed_users=("a@x.org",))
    service.check(Visitor("a@x.org", "sesame", None, "v"))
    assert service.may_start(Visitor("a@x.org", "sesame", None, "v"))
    for visitor in (Visitor(None, "sesame", None, "v"), Visitor("b@x.org", "sesame", None, "v")):
        assert not service.may_start(visitor)
        with pytest.raises(NotAllowed):
            service.check(visitor)


def test_simulations_are_bounded_and_measurements_have_budgets_of_their_own(tmp_path, monkeypatch):
    pool = create_autospec(access.WorkerPool, instance=True)
    monkeypatch.setattr(access, "WorkerPool", lambda settings: pool)
    service = AppService(Settings(home=tmp_path, bounds_times=2.0))
    bounds = Bounds().multiplied(2.0)
    for target, expected in (
        ({"gpu": "l4"}, WorkerBounds(bounds.process_bytes, bounds.job_seconds)),
        ({"device": "cpu"}, WorkerBounds()),
    ):
        job = service.start(Request(RequestKind.ANALYSIS, "bert", **target), Visitor())
        until(lambda job=job: not job.status.is_active)
        assert pool.run.call_args.args[1] == expected
    service.close()
