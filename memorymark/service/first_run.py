"""The default analysis, which a server simulates when it starts: its first page has an answer.

It is a run like any other. Where the history holds one that the same software made, that is taken.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from memorymark.errors import DeviceError, MemoryMarkError
from memorymark.gpus.catalogue import DEFAULT_GPU, find_gpu, find_gpu_by_device_name
from memorymark.gpus.telemetry import read_telemetry
from memorymark.probes.lease import device_lease
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.request import Request, RequestKind
from memorymark.records.trial import ALLOCATOR_SETTINGS
from memorymark.service.history import RunHistory
from memorymark.service.run import Run, RunStatus

FIRST_MODEL = "bert"
FIRST_OPTIONS = AnalysisOptions(dataset_size=1_000_000, epochs=1, runs_per_year=12)
_SOFTWARE = ("memorymark", "torch", "transformers")
_MOST_RUNS = 200
_LOCK = "first-run"


def first_request() -> Request:
    """Return what the pages are set to at the start, as a simulation.

    For the machine's own first GPU where the catalogue has it, else for the default GPU.
    """
    own = find_gpu_by_device_name(read_telemetry(0).name or "")
    gpu = own.key if own is not None else DEFAULT_GPU
    return Request(RequestKind.ANALYSIS, FIRST_MODEL, gpu=gpu, options=FIRST_OPTIONS)


def finished_run(history: RunHistory, request: Request) -> str | None:
    """Return the newest finished run of a request that this software made of this catalogue."""
    done = history.find(
        text=request.model, kinds=[request.kind], statuses=[RunStatus.DONE], limit=_MOST_RUNS
    )
    for run in done:
        with contextlib.suppress(MemoryMarkError):  # a damaged run is passed over
            if _is_of(history.open(run.run_id), request):
                return run.run_id
    return None


def active_run(history: RunHistory, request: Request) -> str | None:
    """Return the run of a request on which another server of the same history works."""
    active = [status for status in RunStatus if status.is_active]
    for run in history.find(kinds=[request.kind], statuses=active, limit=_MOST_RUNS):
        with contextlib.suppress(MemoryMarkError):
            asked = Request.from_dict(run.request or {})
            if run.status.is_active and asked.identity == request.identity:
                return run.run_id
    return None


@contextlib.contextmanager
def deciding(folder: Path) -> Iterator[None]:
    """Hold other servers of the same folder back; nothing where it takes no locks."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(DeviceError):
            stack.enter_context(device_lease(_LOCK, folder=folder))
        yield


def _is_of(run: Run, request: Request) -> bool:
    """Whether a run is what a request would come to now."""
    if Request.from_dict(run.request or {}).identity != request.identity:
        return False
    analysis, gpu = Analysis.from_dict(run.record or {}), find_gpu(request.gpu or DEFAULT_GPU)
    target = analysis.target
    row = (gpu.name, gpu.total_bytes, gpu.usable_bytes, gpu.usd_per_hour)
    made_of = (target.name, target.total_bytes, target.capacity_bytes)
    is_same_row = (*made_of, analysis.options.price_per_hour) == row
    return analysis.complete and is_same_row and is_made_with_this(analysis.software)


def is_made_with_this(software: Mapping[str, str]) -> bool:
    """Whether the versions are those of now; builds of one version count as alike."""
    made = {name: software.get(name, "").partition("+")[0] for name in _SOFTWARE}
    allocator = os.environ.get(ALLOCATOR_SETTINGS) or os.environ.get("PYTORCH_CUDA_ALLOC_CONF")
    is_same_allocator = software.get(ALLOCATOR_SETTINGS) == (allocator or None)
    return is_same_allocator and made == {name: _version(name) for name in _SOFTWARE}


def _version(package: str) -> str:
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return ""
