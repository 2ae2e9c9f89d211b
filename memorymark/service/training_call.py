"""Executes a training: the batch of an analysis, the forecast, and the run."""

from __future__ import annotations

import csv
import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from memorymark.errors import NotAvailable, WorkloadError, quoted
from memorymark.gpus.catalogue import load_catalogue
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import Event, EventKind
from memorymark.records.training_comparison import TrainingComparison
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.training_run import TrainingRun
from memorymark.service.trained_folders import as_name, new_folder
from memorymark.service.training_admission import DATA
from memorymark.service.uploaded_texts import check_tokens, keep_upload, uploaded_path

if TYPE_CHECKING:
    from memorymark.probes.probe import Probe
    from memorymark.service.call import Call
    from memorymark.workloads.base import Workload


def train(call: Call, probe: Probe, workload: Workload) -> TrainingRun:
    """Run the training of a call's request.

    Raises:
        MemoryMarkError: It cannot be put together, or run.
    """
    assert call.request.training is not None
    plan = _with_folder(call, call.request.training)
    return _train(call, probe, workload, plan, call.request.batch_size)


def compare_training(call: Call, probe: Probe, workload: Workload) -> TrainingComparison:
    """Train the models of a call's request one after the other, on the same tokens.

    The effective batch is the same for both: the one that is given, else the first one's. Each
    has half of the time budget.

    Raises:
        MemoryMarkError: They cannot be put together, or run.
    """
    began, request = time.monotonic(), call.request
    assert request.training is not None and request.other_model is not None
    whole = _with_folder(call, request.training)
    folder = Path(whole.checkpoint or "").expanduser()
    other = dataclasses.replace(request, model=request.other_model)
    second = dataclasses.replace(call, request=other, given=None)
    workloads = [(call, workload), (second, second.workload(probe))]
    plan, size, runs = whole, request.batch_size, []
    for number, (each, model) in enumerate(workloads, 1):
        call.note(f"{number} of {len(workloads)}: {each.request.model}")
        budget = None if plan.time_budget is None else whole.time_budget / len(workloads)
        own = folder / f"{number}-{as_name(each.request.model)}"
        own_plan = dataclasses.replace(plan, checkpoint=str(own), time_budget=budget)
        run = _train(each, probe, model, own_plan, size)
        runs.append(run)
        if number == 1 and plan.effective_batch is None:
            plan = dataclasses.replace(plan, effective_batch=run.effective_batch_size)
    price = call.with_price(request.options, probe).price_per_hour
    found = TrainingComparison(tuple(runs), price, str(folder / "comparison.csv"))
    _write_csv(Path(found.csv or ""), found)
    return dataclasses.replace(found, elapsed_seconds=time.monotonic() - began)


def _train(
    call: Call, probe: Probe, workload: Workload, plan: TrainingPlan, batch_size: int | None
) -> TrainingRun:
    from memorymark.service.given_tokenizer import given_tokenizer
    from memorymark.trainer.forecast import forecasts
    from memorymark.trainer.make_job import make_job
    from memorymark.trainer.train import empty_run, train_on
    from memorymark.workloads.trial_spec import TrialSpec

    began, request = time.monotonic(), call.request
    in_app = call.find_workload is not None and call.given is None

    def find_batch(config: TrainingConfig, most: int) -> int:
        return _recommended(call, probe, workload, config, most)

    job = make_job(
        workload, request.config, _with_upload(call, plan), batch_size, find_batch=find_batch,
        read_tokenizer=partial(given_tokenizer, from_hub=not in_app),
        texts_folder=call.settings.texts_folder, is_named=call.given is None,
        from_hub=not in_app,
    )  # fmt: skip
    job = dataclasses.replace(job, plan=plan)
    for text in job.notes:
        call.note(text)
    call.note("Simulating what it would take on the cards of the catalogue")
    gpus = [call.prices.priced(gpu) for gpu in load_catalogue().values() if not gpu.is_apple]
    spec = TrialSpec(job.workload, job.config, job.batch_size)
    run = dataclasses.replace(
        empty_run(probe, job), forecasts=forecasts(spec, job.total_steps, gpus)
    )

    def tell(text: str, share: float | None, known: Callable[[], TrainingRun]) -> None:
        call.on_event(Event(EventKind.STEP, text, progress=share, known=known))

    return train_on(
        probe, job, run=run, note=call.note, on_progress=tell, cancel=call.cancel, began=began
    )


def _with_folder(call: Call, plan: TrainingPlan) -> TrainingPlan:
    """Return the plan with a folder of its own where none is named."""
    if plan.checkpoint is not None:
        return plan
    return dataclasses.replace(plan, checkpoint=str(new_folder(call.request.model, call.settings)))


def _with_upload(call: Call, plan: TrainingPlan) -> TrainingPlan:
    """Return the plan with the path of the text that a visitor of the app uploaded, if it was."""
    path = uploaded_path(plan.data or "", call.settings)
    if call.find_workload is None or call.given is not None or path is None:
        return plan
    if call.media and DATA in call.media:
        path = keep_upload(plan.data or "", call.media[DATA], call.settings)
    check_tokens(path, call.settings)
    return dataclasses.replace(plan, data=str(path))


def _write_csv(path: Path, found: TrainingComparison) -> None:
    """Write the figures of all trainings, a row for each step and each evaluation.

    Raises:
        WorkloadError: It cannot be written.
    """
    rows = list(found.rows())
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else [])
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise WorkloadError(f"{quoted(str(path))} cannot be written: {error.strerror}.") from error


def _recommended(
    call: Call, probe: Probe, workload: Workload, config: TrainingConfig, most: int
) -> int:
    """Return the batch that an analysis on the device recommends.

    Raises:
        NotAvailable: It finds none.
    """
    call.note("Looking for the batch size")
    options = AnalysisOptions(current_batch_size=1, max_batch_size=most)
    changed = dataclasses.replace(call, request=dataclasses.replace(call.request, config=config))
    found = changed.analyze(probe, workload, options)
    if found.optimal.batch_size is None:
        raise NotAvailable(
            f"The analysis found no batch of {quoted(workload.name)} that fits. Raise the memory "
            "budget, or make samples shorter."
        )
    return found.optimal.batch_size
