"""What the app takes of a training: no path of a visitor's, and folders of its own alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from memorymark.errors import MemoryMarkError, NotAllowed, UsageError, quoted
from memorymark.records.request import Request, RequestKind
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.training_run import StoppedBy
from memorymark.records.upload_names import upload_hash
from memorymark.service.admission import check_model
from memorymark.service.run import Run, RunStatus
from memorymark.service.trained_folders import has_checkpoint, new_folder, own_folder
from memorymark.service.uploaded_texts import check_upload, is_allowed_tokenizer, uploaded_path
from memorymark.settings import Settings

TRAININGS = (RequestKind.TRAIN, RequestKind.COMPARE_TRAINING)
DATA = "data"  # the name of the upload among a job's media
_GOES_ON = (
    StoppedBy.USER, StoppedBy.TIME_BUDGET, StoppedBy.OUT_OF_MEMORY, StoppedBy.NOT_FINITE,
    StoppedBy.DISK,
)  # fmt: skip
_ALLOW = "The owner of this machine can allow a text with MEMORYMARK_DATA=FILE."


def check_training(request: Request, media: Mapping[str, bytes], settings: Settings) -> None:
    """Let a training pass that names no path but those that the owner allows.

    Raises:
        NotAllowed: It names one, or answers ARC tasks, which lie in folders.
        UsageError: It has no text, the upload is none that is taken, or a model is no model's name.
    """
    if request.kind is RequestKind.ARC:
        raise NotAllowed(
            "The app answers no ARC tasks: they lie in folders, which a visitor does not name. Use "
            "the command line."
        )
    plan = request.training
    if request.kind not in TRAININGS or plan is None:
        return
    if plan.resume or plan.checkpoint is not None:
        raise NotAllowed(
            "A training of the app keeps its checkpoints in a folder of its own, and goes on from "
            "them with the button below its run. Leave the folder out."
        )
    if request.other_model is not None:
        check_model(request.other_model, settings)
    _check_texts(request, plan, media, settings)


def with_own_folder(request: Request, settings: Settings) -> Request:
    """Return a training with a new folder among the app's own; any other request as it is."""
    plan = request.training
    if request.kind not in TRAININGS or plan is None:
        return request
    folder = str(new_folder(request.model, settings))
    return dataclasses.replace(request, training=dataclasses.replace(plan, checkpoint=folder))


def can_go_on(run: Run, settings: Settings) -> bool:
    """Say whether a training ended early, and has a checkpoint to go on from."""
    return _request_to_go_on(run, settings) is not None


def request_to_go_on(run: Run, settings: Settings) -> Request:
    """Return the request that goes on with a training from its newest checkpoint.

    Raises:
        NotAllowed: It is none that ended early in a folder of the app's own, with a checkpoint.
    """
    request = _request_to_go_on(run, settings)
    if request is None:
        raise NotAllowed(
            f"Run {run.run_id} cannot go on: it is no training of this app that ended early, whose "
            "checkpoint and text are here. Start a new one."
        )
    return request


def _request_to_go_on(run: Run, settings: Settings) -> Request | None:
    record = run.record or {}
    if run.kind != RequestKind.TRAIN or run.status.is_active or run.request is None:
        return None
    if run.status is RunStatus.DONE and record.get("stopped_by") not in _GOES_ON:
        return None
    try:
        request = Request.from_dict(run.request)
        plan = request.training
        if plan is None:
            return None
        _check_texts(request, plan, {}, settings)  # the command line reads more than the app does
    except MemoryMarkError:
        return None
    folder = own_folder(plan.checkpoint, settings)
    if folder is None or not has_checkpoint(folder):
        return None
    plan = dataclasses.replace(plan, resume=True)
    size = request.batch_size or _size_of(record)  # without it, it would be looked for again
    return dataclasses.replace(request, training=plan, batch_size=size)


def _size_of(record: Mapping[str, object]) -> int | None:
    size = record.get("batch_size")
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None


def _check_texts(
    request: Request, plan: TrainingPlan, media: Mapping[str, bytes], settings: Settings
) -> None:
    """Let a training pass that reads what the app may read."""
    if plan.tokenizer is not None and not is_allowed_tokenizer(plan.tokenizer, settings):
        raise NotAllowed(
            f"{quoted(plan.tokenizer)} is no tokenizer that the app opens. Accepted: bytes, or the "
            "folder of a model that the owner of this machine allows with "
            "MEMORYMARK_WORKLOADS=hf:FOLDER."
        )
    if plan.eval_data is not None and plan.eval_data not in settings.data:
        raise NotAllowed(
            f"{quoted(plan.eval_data)} is no text that the app may evaluate on. {_ALLOW}"
        )
    _check_data(request, plan, media, settings)


def _check_data(
    request: Request, plan: TrainingPlan, media: Mapping[str, bytes], settings: Settings
) -> None:
    if plan.data is None:
        if request.model in settings.workloads and not request.model.startswith("hf:"):
            return  # it makes its own batches
        raise UsageError("There is no text to train on. Upload one.")
    if DATA in media:
        check_upload(plan.data, media[DATA])
        return
    if plan.data in settings.data:
        return
    if upload_hash(plan.data) is None:
        raise NotAllowed(
            f"{quoted(plan.data)} is no text that the app may train on. Upload it. {_ALLOW}"
        )
    path = uploaded_path(plan.data, settings)
    if path is None or not path.is_file():
        raise UsageError(f"{quoted(plan.data)} is not kept here. Upload it again.")
