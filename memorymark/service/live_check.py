"""Whether a training that lives in this process fits: what `fits` and the callbacks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken
from memorymark.records.request import Request, RequestKind
from memorymark.service.execute import execute

if TYPE_CHECKING:
    from memorymark.records.fit import Fit
    from memorymark.workloads.live.live_workload import LiveTraining


def check_live(
    live: LiveTraining,
    config: TrainingConfig | None = None,
    *,
    gpu: str | None = None,
    device: str | None = None,
    memory_budget: str | int | None = None,
    largest: bool = False,
    cancel: CancelToken | None = None,
) -> Fit:
    """Say whether a live training fits, and by how much.

    Args:
        live: The training as it is in this process.
        config: How the step is run; None takes what is set around the call.
        gpu: Simulate this GPU of the catalogue.
        device: cuda or cuda:N. With neither: the model's CUDA device, else the process's.
        memory_budget: The most that the training may use, as in "4GiB" or in bytes.
        largest: Look for the largest batch where this one fits, too.
        cancel: Checked before each trial, and at each operation.

    Raises:
        UsageError: An argument is invalid.
        MemoryMarkError: The step cannot be simulated.
    """
    from memorymark.workloads.live.live_config import with_surroundings
    from memorymark.workloads.live.live_workload import LiveWorkload

    live, config = with_surroundings(live, config)
    workload = LiveWorkload(live)
    if gpu is None and device is None:
        device = workload.cuda_device
    request = Request(
        RequestKind.FITS, workload.name, config, device, gpu, memory_budget,
        workload.live_batch.size, largest=largest or None,
    )  # fmt: skip
    with workload.leaving_all_else():
        return execute(request, workload=workload, cancel=cancel)
