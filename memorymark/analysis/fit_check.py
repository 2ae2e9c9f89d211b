"""Whether one batch fits; the largest that does, where it is asked for or that one does not."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from memorymark.analysis.attempt import attempt
from memorymark.analysis.search import SearchResult, find_max_batch, not_monotone
from memorymark.probes.probe import Probe
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.fit import Fit
from memorymark.records.trial import Outcome, Trial
from memorymark.workloads.trial_spec import TrialSpec

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload

# So many steps of the search fit at least: to one of them is to a few percent.
_FEW = 8


def check_fit(
    probe: Probe,
    workload: Workload,
    config: TrainingConfig,
    batch_size: int,
    options: AnalysisOptions,
    *,
    largest: bool = False,
    grows: bool = True,
    check: Callable[[], None] = lambda: None,
) -> Fit:
    """Run one trial, and search the largest batch that fits where the trial's does not.

    Args:
        probe: Runs the trials.
        workload: What is trained.
        config: How it is trained.
        batch_size: The batch that is asked about.
        options: Where the search ends, and to how many samples it is exact where many fit.
        largest: Search it where the batch fits, too.
        grows: Whether there are batches of other sizes.
        check: Called before each trial; raises where somebody has cancelled.

    Raises:
        MemoryMarkError: The batch cannot be tried.
    """
    started, trials = time.perf_counter(), {}

    def trial_at(size: int) -> Trial:
        if size not in trials:
            check()
            trials[size] = attempt(probe, TrialSpec(workload, config, size), list(trials.values()))
        return trials[size]

    asked = trial_at(batch_size)
    found: SearchResult | None = None
    if grows and asked.outcome is not Outcome.ERROR and (largest or not asked.fits):
        found = _largest(trial_at, asked, options)
    said = (not_monotone(list(trials.values())), found and found.error)
    return Fit(
        trial=asked,
        target=probe.target,
        max_batch_size=found and found.max_batch_size,
        max_is_lower_bound=bool(found and (found.at_upper_bound or not found.complete)),
        searched=found is not None,
        tried=tuple(trials),
        findings=tuple(text for text in said if text),
        elapsed_seconds=time.perf_counter() - started,
    )


def _largest(
    trial_at: Callable[[int], Trial], asked: Trial, options: AnalysisOptions
) -> SearchResult:
    """Search from where the first trial lets it be expected."""
    expected = _expected(asked)
    few = expected is None or expected < _FEW * options.granularity
    found = find_max_batch(
        trial_at,
        granularity=1 if few else options.granularity,
        upper=max(options.upper_bound, asked.batch_size),
        capacity_bytes=asked.capacity_bytes,
        guess=None if expected is None else min(expected, options.upper_bound),
    )
    if asked.fits and asked.batch_size > (found.max_batch_size or 0):
        return dataclasses.replace(found, max_batch_size=asked.batch_size)
    return found


def _expected(trial: Trial) -> int | None:
    """Return the batch that takes all of the capacity, where what belongs to a batch grows."""
    needed, parts = trial.minimum_bytes or trial.peak_allocated_bytes, trial.breakdown
    growing = parts.activations + parts.inputs + parts.temporaries if parts else 0
    if not needed or not growing or not trial.capacity_bytes:
        return None
    room = trial.capacity_bytes - needed + growing
    return max(1, room * trial.batch_size // growing)
