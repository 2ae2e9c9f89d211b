"""A call that answers ARC tasks: its model, its weights, its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memorymark.errors import NotAllowed
from memorymark.records.arc_report import ArcReport
from memorymark.records.event import Event, EventKind
from memorymark.records.generation_run import WeightsFrom
from memorymark.service.call import Call

if TYPE_CHECKING:
    from memorymark.probes.probe import Probe
    from memorymark.workloads.base import Workload


def arc_on(call: Call, probe: Probe, workload: Workload) -> ArcReport:
    """Answer the request's tasks on a probe's device, without and with training on each.

    In the app no folder is read or written, and the hub is not asked.

    Raises:
        NotAllowed: It is the app's, and names a folder.
        MemoryMarkError: The tasks cannot be read, or the model cannot be built.
    """
    from memorymark.trainer.arc.arc_job import arc_job
    from memorymark.trainer.arc.run_arc import run_arc
    from memorymark.workloads.checkpoint import Checkpoint, find_checkpoint

    request, plan = call.request, call.request.arc
    assert plan is not None
    in_app = call.find_workload is not None
    if in_app and (plan.data is not None or plan.checkpoint is not None):
        raise NotAllowed(
            "Folders of this machine are named on the command line or in Python, not here. Have "
            "tasks generated, or run `memorymark arc`."
        )
    checkpoint = Checkpoint(None, WeightsFrom.RANDOM)
    if call.given is None:
        checkpoint = find_checkpoint(
            workload.name, random_weights=plan.random_weights, from_hub=not in_app
        )

    def note(text: str, progress: float | None) -> None:
        call.on_event(Event(EventKind.NOTE, text, progress=progress))

    job = arc_job(workload, request.config, plan, checkpoint, request.memory_budget)
    return run_arc(probe, job, note=note, cancel=call.cancel)
