"""Whether one batch fits; the largest that does, where it is asked for or that one does not."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from memorymark.analysis.attempt import attempt
from memorymark.analysis.grid import Grid
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
        options: Where the search ends, and to how many samples it is exact.
        largest: Search it where the batch fits, too.
        grows: Whether there are batches of other sizes.
        check: Called before each trial; raises where somebody has cancelled.

    Raises:
        MemoryMarkError: The batch cannot be tried.
    """
    started, trials = time.perf_counter(), []

    def trial_at(size: int) -> Trial:
        check()
        trials.append(attempt(probe, TrialSpec(workload, config, size), trials))
        return trials[-1]

    asked = trial_at(batch_size)
    searches = grows and asked.outcome is not Outcome.ERROR and (largest or not asked.fits)
    found: SearchResult | None = None
    if searches:
        step = _step_of(asked, options.granularity)
        found = find_max_batch(
            trial_at,
            granularity=step,
            upper=max(options.upper_bound, batch_size),
            capacity_bytes=probe.target.capacity_bytes,
            known=(asked,) if Grid(step).holds(batch_size) else (),
        )
        if asked.fits and batch_size > (found.max_batch_size or 0):
            found = dataclasses.replace(found, max_batch_size=batch_size)
    said = (not_monotone(trials), found and found.error)
    return Fit(
        trial=asked,
        target=probe.target,
        max_batch_size=found and found.max_batch_size,
        max_is_lower_bound=bool(found and (found.at_upper_bound or not found.complete)),
        searched=found is not None,
        tried=tuple(trial.batch_size for trial in trials),
        findings=tuple(text for text in said if text),
        elapsed_seconds=time.perf_counter() - started,
    )


def _step_of(trial: Trial, most: int) -> int:
    """Return to how many samples the largest batch is looked for: to one where few fit."""
    needed, capacity = trial.minimum_bytes or trial.peak_allocated_bytes, trial.capacity_bytes
    if not needed or not capacity:
        return 1
    return most if trial.batch_size * capacity // needed >= _FEW * most else 1
