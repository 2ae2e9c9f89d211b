"""Executes a training: the batch of an analysis, the forecast, and the run."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from memorymark.errors import NotAvailable, quoted
from memorymark.gpus.catalogue import load_catalogue
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import Event, EventKind
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.training_run import TrainingRun

if TYPE_CHECKING:
    from memorymark.probes.probe import Probe
    from memorymark.service.call import Call
    from memorymark.workloads.base import Workload


def train(call: Call, probe: Probe, workload: Workload) -> TrainingRun:
    """Run the training of a call's request.

    Raises:
        MemoryMarkError: It cannot be put together, or run.
    """
    from memorymark.trainer.forecast import forecasts
    from memorymark.trainer.make_job import make_job
    from memorymark.trainer.train import empty_run, train_on
    from memorymark.workloads.trial_spec import TrialSpec

    began, request = time.monotonic(), call.request
    assert request.training is not None
    plan = _with_folder(call, request.training)
    in_app = call.find_workload is not None and call.given is None

    def find_batch(config: TrainingConfig, most: int) -> int:
        return _recommended(call, probe, workload, config, most)

    job = make_job(
        workload, request.config, plan, request.batch_size, find_batch=find_batch,
        texts_folder=call.settings.home / "texts", is_named=call.given is None,
        from_hub=not in_app,
    )  # fmt: skip
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
    now = datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S-%f")
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", call.request.model).strip("-.")[:60]
    return dataclasses.replace(
        plan, checkpoint=str(call.settings.home / "trained" / f"{now}-{name}")
    )


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
