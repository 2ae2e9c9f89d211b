"""Runs one trial of several, so that an error in it loses none of the others."""

from __future__ import annotations

from collections.abc import Sequence

from memorymark.errors import one_sentence
from memorymark.probes.probe import Probe
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome, Stage, Target, Trial
from memorymark.workloads.trial_spec import TrialSpec


def attempt(probe: Probe, spec: TrialSpec, before: Sequence[Trial]) -> Trial:
    """Run a trial; where there are others before it, what it raises is its outcome.

    The first trial's error is the caller's: nothing can be run, and nothing is lost.

    Args:
        probe: Runs it.
        spec: What it runs.
        before: The trials that there are already.
    """
    try:
        return probe.run_trial(spec)
    except (Exception, SystemExit) as error:
        if not before:
            raise
        return trial_without_figures(
            probe.target, spec.workload.name, spec.config, spec.batch_size, spec.stage,
            one_sentence(error),
        )  # fmt: skip


def trial_without_figures(
    target: Target, model: str, config: TrainingConfig, batch_size: int, stage: Stage, error: str
) -> Trial:
    """Return what stands for a trial of which nothing is known but why."""
    return Trial(
        model=model,
        batch_size=batch_size,
        config=config,
        source=target.source,
        device=target.name,
        outcome=Outcome.ERROR,
        capacity_bytes=target.capacity_bytes,
        stage=stage,
        error=error,
    )
