"""Where a measured search should start: a simulation of the device at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memorymark.analysis.search import find_max_batch
from memorymark.errors import Cancelled
from memorymark.gpus.catalogue import Gpu, load_catalogue
from memorymark.probes.choose import simulated_probe
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken
from memorymark.records.trial import Source, Target, Trial

if TYPE_CHECKING:
    from memorymark.records.analysis import Analysis
    from memorymark.workloads.base import Workload


def predict_max_batch(
    target: Target,
    workload: Workload,
    config: TrainingConfig,
    options: AnalysisOptions,
    cancel: CancelToken,
    compute_capability: tuple[int, int] | None = None,
) -> int | None:
    """Return the largest batch that a simulation of the device expects, None where it cannot say.

    Only CUDA devices are simulated. A workload that runs its user's own code, and a compiled
    model, are not.

    Args:
        target: The device that is going to be measured.
        workload: What is trained.
        config: How it is trained.
        options: What the user wants to know.
        cancel: Looked at before each simulated trial.
        compute_capability: The device's, for one that is not in the catalogue.

    Raises:
        Cancelled: Somebody asked to stop.
    """
    gpu = gpu_of(target, compute_capability)
    if gpu is None or workload.runs_own_code or config.compile:
        return None
    try:
        return _search(gpu, target.capacity_bytes, workload, config, options, cancel)
    except Cancelled:
        raise
    except Exception:
        return None  # a prediction only saves trials: the measured search does without it


def extrapolated_max_batch(
    trials: Sequence[Trial], capacity_bytes: int | None, granularity: int
) -> int | None:
    """Return where the max batch is to be expected from trials on other GPUs.

    Memory grows by the same bytes with every sample, nearly: the line through the largest batch
    with a reading and one of at most half its size is followed to the capacity. Two that lie
    closer would have a slope of the allocator's rounding.

    Args:
        trials: Trials of the same training, on any GPU.
        capacity_bytes: What a trial may use on this one.
        granularity: The batch that is returned is a multiple of it.
    """
    readings = {t.batch_size: t.minimum_bytes for t in trials if t.minimum_bytes is not None}
    if len(readings) < 2 or capacity_bytes is None:
        return None
    high = max(readings)
    low = max((batch for batch in readings if batch <= high // 2), default=min(readings))
    per_sample = (readings[high] - readings[low]) / (high - low)
    if per_sample <= 0:
        return None
    expected = high + (capacity_bytes - readings[high]) / per_sample
    return max(granularity, int(expected) // granularity * granularity)


def expected_max_batch(
    analyses: Sequence[Analysis], target: Target, options: AnalysisOptions
) -> int | None:
    """Return where the max batch of a simulated GPU is to be expected from those of others."""
    simulated = [a.trials for a in analyses if a.target.source is Source.SIMULATED]
    trials = [trial for each in simulated for trial in each]
    return extrapolated_max_batch(trials, target.capacity_bytes, options.granularity)


def gpu_of(target: Target, compute_capability: tuple[int, int] | None = None) -> Gpu | None:
    """Return the catalogue's row of a CUDA device, or one of its generation with its memory."""
    if target.kind != "cuda":
        return None
    catalogue = load_catalogue()
    if target.gpu_key is not None:
        return catalogue[target.gpu_key]
    for gpu in catalogue.values():
        if gpu.compute_capability == compute_capability and target.total_bytes:
            return dataclasses.replace(gpu, name=target.name, total_bytes=target.total_bytes)
    return None


def _search(
    gpu: Gpu,
    capacity_bytes: int | None,
    workload: Workload,
    config: TrainingConfig,
    options: AnalysisOptions,
    cancel: CancelToken,
) -> int | None:
    budget = capacity_bytes if (capacity_bytes or 0) < gpu.total_bytes else None
    probe = simulated_probe(gpu, budget)

    def run(batch_size: int) -> Trial:
        cancel.check()
        return probe.run(workload, config, batch_size)

    found = find_max_batch(run, granularity=options.granularity, upper=options.upper_bound)
    return found.max_batch_size if found.complete else None
