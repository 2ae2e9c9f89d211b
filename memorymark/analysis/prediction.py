"""Predicts where a search starts: by simulation, or from the trials of other GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memorymark.analysis.search import find_max_batch
from memorymark.probes.probe import Probe
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent
from memorymark.records.trial import Source, Target, Trial
from memorymark.workloads.trial_spec import TrialSpec

if TYPE_CHECKING:
    from memorymark.records.analysis import Analysis
    from memorymark.workloads.base import Workload

# Below this many samples a search takes hardly more trials than a quick look.
_LOOKED_AT = 16


def predict_max_batch(
    probe: Probe,
    workload: Workload,
    config: TrainingConfig,
    options: AnalysisOptions,
    on_event: OnEvent,
    cancel: CancelToken,
) -> int | None:
    """Return the largest batch that a simulation of a measured device expects.

    Of a simulated device it is what a quick look at two small batches expects, if the probe has
    one. A workload that runs its user's own code, and a compiled model, are not simulated first.

    Args:
        probe: The probe of the device that is going to be searched.
        workload: What is trained.
        config: How it is trained.
        options: What the user wants to know.
        on_event: Called with the outcome.
        cancel: Checked before each simulated trial.

    Raises:
        Cancelled: Cancellation was requested.
    """
    if workload.runs_own_code or config.compile:
        return None
    if probe.target.source is Source.SIMULATED:
        config = workload.describe(config)
        simulation = _quick_look(probe, workload, config, options, on_event, cancel)
    else:
        simulation = probe.simulation()
    if simulation is None:
        return None

    def trial_at(batch_size: int) -> Trial:
        cancel.check()
        return simulation.run_trial(TrialSpec(workload, config, batch_size))

    try:
        found = find_max_batch(trial_at, granularity=options.granularity, upper=options.upper_bound)
    except Exception as error:  # a prediction only saves trials: the search does without it
        reason = f"{type(error).__name__}: {error}"
        on_event(Event(EventKind.NOTE, f"Simulating a starting point failed. {reason}"))
        return None
    if not found.complete or found.max_batch_size is None:
        return None
    guess = found.max_batch_size
    text = f"Simulated, about {guess} fit; the search starts there."
    on_event(Event(EventKind.NOTE, text))
    return guess


def _quick_look(
    probe: Probe,
    workload: Workload,
    config: TrainingConfig,
    options: AnalysisOptions,
    on_event: OnEvent,
    cancel: CancelToken,
) -> Probe | None:
    """Return what expects the memory of a simulated device, if the probe has such a thing."""
    if options.upper_bound <= _LOOKED_AT:
        return None
    cancel.check()
    return probe.quick_look(workload, config, lambda text: on_event(Event(EventKind.NOTE, text)))


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
