"""What the app takes of a training, asked as somebody would who forges requests."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from memorymark.errors import NotAllowed, UsageError
from memorymark.records.arc_plan import ArcPlan
from memorymark.records.request import Request, RequestKind
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.upload_names import told_name
from memorymark.service import execute as execute_module
from memorymark.service.access import AppService
from memorymark.service.guard import Visitor
from memorymark.service.run import RunStatus
from memorymark.service.training_admission import check_training, with_own_folder
from memorymark.service.uploaded_texts import keep_upload
from memorymark.settings import Settings
from memorymark.units import MIB

TEXT = b"To be, or not to be. " * 100
NAME = told_name("hamlet.txt", TEXT)
VISITOR = Visitor(session="a")


@pytest.fixture
def settings(tmp_path):
    allowed = tmp_path / "allowed.txt"
    allowed.write_bytes(TEXT)
    return Settings(
        home=tmp_path / "home", data=(str(allowed),), workloads=("hf:/models/own", "own:trained")
    )


def asked(kind=RequestKind.TRAIN, model="hf:openai-community/gpt2", **plan):
    given = {} if kind is RequestKind.TRAIN else {"other_model": plan.pop("other_model")}
    return Request(kind, model, device="cpu", training=TrainingPlan(**plan), **given)


FORGED = (
    {"data": "/etc/passwd"},
    {"data": "~/.ssh/id_rsa"},
    {"data": "../../etc/passwd"},
    {"data": "/etc"},
    {"data": NAME, "checkpoint": "/tmp/x"},
    {"data": NAME, "checkpoint": "/tmp/x", "resume": True},
    {"data": NAME, "eval_data": "/etc/passwd"},
    {"data": NAME, "tokenizer": "/etc"},
    {"data": NAME, "tokenizer": "gpt2"},
    {"data": NAME, "tokenizer": "openai-community/gpt2"},
    {"data": NAME, "tokenizer": "~/models/other"},
)


@pytest.mark.parametrize("plan", FORGED, ids=str)
def test_a_visitor_names_no_path(settings, plan):
    with pytest.raises(NotAllowed):
        check_training(asked(**plan), {}, settings)


@pytest.mark.parametrize("model", ["hf:/etc", "hf:../x", "os:system", "own2:trained"])
def test_the_model_beside_it_is_checked_as_the_first(settings, model):
    request = asked(RequestKind.COMPARE_TRAINING, other_model=model, data=NAME)
    with pytest.raises(NotAllowed):
        check_training(request, {"data": TEXT}, settings)


def test_arc_tasks_which_lie_in_folders_are_not_for_visitors(settings):
    request = Request(RequestKind.ARC, "gpt2", device="cpu", arc=ArcPlan(data="/etc"))
    with pytest.raises(NotAllowed, match="command line"):
        check_training(request, {}, settings)


def test_an_upload_is_what_its_name_says_and_no_larger_than_accepted(settings):
    check_training(asked(data=NAME), {"data": TEXT}, settings)
    large = b"x" * (8 * MIB + 1)
    for name, data, said in (
        (NAME, b"something else", "not the name"),
        ("/etc/passwd", TEXT, "no text"),
        (told_name("model.pkl", TEXT), TEXT, "Accepted: .txt"),
        (told_name("big.txt", large), large, "8.0 MiB"),
    ):
        with pytest.raises(UsageError, match=said):
            check_training(asked(data=name), {"data": data}, settings)


def test_an_allowed_text_and_tokenizer_pass_and_unkept_uploads_do_not(settings):
    check_training(asked(data=settings.data[0], eval_data=settings.data[0]), {}, settings)
    check_training(asked(data=NAME, tokenizer="bytes"), {"data": TEXT}, settings)
    check_training(asked(data=NAME, tokenizer="/models/own"), {"data": TEXT}, settings)
    with pytest.raises(UsageError, match="Upload it again"):
        check_training(asked(data=NAME), {}, settings)
    with pytest.raises(UsageError, match="no text to train on"):
        check_training(asked(), {}, settings)
    check_training(asked(model="own:trained", steps=1), {}, settings)


def test_each_training_has_a_folder_of_its_own(settings):
    folders = {with_own_folder(asked(data=NAME), settings).training.checkpoint for _ in range(3)}
    assert len(folders) == 3
    assert all(Path(each).parent == settings.trained_folder for each in folders)
    other = Request(RequestKind.ANALYSIS, "bert", gpu="t4")
    assert with_own_folder(other, settings) is other


@pytest.fixture
def service(settings):
    execute = create_autospec(execute_module.execute, side_effect=UsageError("Not now."))
    found = AppService(settings, execute)
    yield found
    found.close()


def test_a_forged_request_starts_nothing(service):
    for plan in FORGED:
        with pytest.raises(NotAllowed):
            service.start(asked(**plan), VISITOR)
    assert not service.history.find() and not service._execute_with.called


def ended(service, folder, status=RunStatus.DONE, stopped_by="time-budget", **plan):
    """Return a run of the history whose training had a folder."""
    keep_upload(NAME, TEXT, service.settings)
    request = asked(**{"data": NAME, **plan}, checkpoint=str(folder))
    service.history.begin("aaaa1111", "train", request.to_dict())
    record = {"model": request.model, "stopped_by": stopped_by, "batch_size": 3}
    record = record if status is RunStatus.DONE else None
    service.history.finish("aaaa1111", status, record=record)
    return service.history.open("aaaa1111")


def with_checkpoint(folder):
    (folder / "step-00000001").mkdir(parents=True)
    (folder / "step-00000001" / "checkpoint.json").write_text(json.dumps({}))
    return folder


@pytest.mark.parametrize(
    ("status", "stopped_by", "goes_on"),
    [
        (RunStatus.DONE, "time-budget", True),
        (RunStatus.DONE, "stopped", True),
        (RunStatus.DONE, "out-of-memory", True),
        (RunStatus.DONE, "not-finite", True),
        (RunStatus.DONE, "length", False),
        (RunStatus.DONE, "early-stopping", False),
        (RunStatus.INTERRUPTED, None, True),
        (RunStatus.FAILED, None, True),
    ],
)
def test_a_training_that_ended_early_goes_on(service, settings, status, stopped_by, goes_on):
    folder = with_checkpoint(settings.trained_folder / "one")
    run = ended(service, folder, status, stopped_by)
    assert service.can_go_on(run) is goes_on
    if not goes_on:
        with pytest.raises(NotAllowed, match="cannot go on"):
            service.go_on(run.run_id, VISITOR)
        return
    plan = Request.from_dict(service.go_on(run.run_id, VISITOR).request).training
    assert plan.resume and Path(plan.checkpoint) == folder and plan.data == NAME


def test_none_goes_on_in_a_folder_that_is_not_the_apps_own(service, settings, tmp_path):
    elsewhere = with_checkpoint(tmp_path / "elsewhere")
    settings.trained_folder.mkdir(parents=True)
    (settings.trained_folder / "link").symlink_to(elsewhere)
    for folder in (
        elsewhere,
        settings.trained_folder / ".." / ".." / "elsewhere",
        settings.trained_folder / "link",
        settings.trained_folder,
        settings.trained_folder / "gone",
    ):
        run = ended(service, folder)
        assert not service.can_go_on(run), folder
    other = dataclasses.replace(run, kind="analysis")
    assert not service.can_go_on(other)


def test_none_goes_on_with_a_text_that_only_the_command_line_reads(service, settings):
    folder = with_checkpoint(settings.trained_folder / "one")
    for plan in ({"data": "/etc/passwd"}, {"tokenizer": "/etc"}, {"eval_data": "/etc/passwd"}):
        assert not service.can_go_on(ended(service, folder, **plan)), plan
    assert service.can_go_on(ended(service, folder))


def test_who_may_not_start_may_not_go_on(settings):
    service = AppService(dataclasses.replace(settings, run_key="secret"))
    run = ended(service, with_checkpoint(settings.trained_folder / "one"))
    with pytest.raises(NotAllowed, match="run key"):
        service.go_on(run.run_id, VISITOR)
    service.close()
