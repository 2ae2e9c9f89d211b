"""Tries changes of one training on one simulated card."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from memorymark.analysis.levers.largest_batch import largest_batch
from memorymark.analysis.levers.lever_kinds import Changes
from memorymark.analysis.levers.same_passes import passes_of
from memorymark.analysis.reporter import Reporter
from memorymark.analysis.search import find_max_batch
from memorymark.errors import BoundReached, MemoryMarkError
from memorymark.gpus.abilities import why_not
from memorymark.gpus.catalogue import Gpu
from memorymark.probes.probe import Probe
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import run_cost
from memorymark.records.lever import Lever
from memorymark.records.trial import Outcome, Trial
from memorymark.workloads.trial_spec import TrialSpec

if TYPE_CHECKING:
    from memorymark.probes.span import Span
    from memorymark.simulator.growth import Growth
    from memorymark.workloads.base import Workload

# How far to go for a second batch where the first says nothing of how memory grows: beyond what
# recomputed activations usually make room for, so that no third one is needed.
_LEAP, _TIMES_THE_FIRST = 64, 8


@dataclass(frozen=True)
class Tried:
    """A training with changes, tried.

    Attributes:
        changes: What was changed.
        batch_size: Samples in one forward pass.
        trial: Its trial.
        seconds_per_sample: Seconds of a sample, also where there is no room for the batch; None
            where unknown.
    """

    changes: Changes
    batch_size: int
    trial: Trial
    seconds_per_sample: float | None

    @property
    def fits(self) -> bool:
        """Whether the batch fits."""
        return self.trial.fits

    @property
    def needed_bytes(self) -> int | None:
        """What the step needs at the least; None where it was given up before that was known."""
        return needed_bytes(self.trial)


class Attempts:
    """Tries changes of one training.

    Args:
        probe: Simulates the card.
        workload: What is trained.
        config: How it is trained now.
        options: The current batch, the search and the costs.
        reporter: Told of each trial; stops the work where that is asked for.
        gpu: The catalogue's row of the card, where it has one.

    Attributes:
        least: Whether trials that fit say what a step needs at the least, too: it takes several
            replays, and only who looks for what makes a batch fit compares it.
    """

    def __init__(
        self,
        probe: Probe,
        workload: Workload,
        config: TrainingConfig,
        options: AnalysisOptions,
        reporter: Reporter,
        gpu: Gpu | None = None,
    ) -> None:
        self.probe, self.workload, self.config = probe, workload, config
        self.options, self.gpu, self.least = options, gpu, True
        self.reporter = reporter
        self._growths: dict[Hashable, list[Growth]] = {}
        self._newest: tuple[Tried, Span | None] | None = None
        self._largest: dict[tuple[Any, ...], int | None] = {}

    @property
    def batch_size(self) -> int:
        """The batch that is run today."""
        return self.options.current_batch_size

    def try_changes(self, changes: Changes, *, in_full: bool = True) -> Tried | str:
        """Simulate the training with changes, at its batch.

        Args:
            changes: What to change.
            in_full: Whether all of a trial's figures are wanted; else it says whether the batch
                fits and no more, at a third of the cost.

        Returns:
            What it comes to, or why the card, the model or the options do not take the changes.

        Raises:
            BoundReached: The simulation takes too much work.
        """
        fields = dict(changes)
        batch_size = fields.pop("batch_size", self.batch_size)
        if (lacking := self._lacking_ability(fields)) is not None:
            return lacking
        try:
            config = dataclasses.replace(self.config, **fields)
            spec = TrialSpec(self.workload, config, batch_size)
            self.reporter.starting(batch_size)
            span = self.probe.span(spec, least=self.least)
            if span is None or in_full:
                trial = self.probe.run_trial(spec)
            else:
                trial = span.follow(batch_size)
        except BoundReached:
            raise
        except MemoryMarkError as error:
            return str(error)
        self.reporter.finished(trial)
        if trial.outcome is Outcome.ERROR:
            return trial.error or "The trial failed without an error message."
        step = trial.step_seconds if span is None else span.step_seconds
        samples = batch_size * config.gradient_accumulation
        tried = Tried(changes, batch_size, trial, step / samples if step else None)
        self._newest = tried, span  # a simulation takes much room: one at a time
        return tried

    def lever(self, name: str, tried: Tried, before: Tried | None, notes: str = "") -> Lever:
        """Say what a change comes to, with the largest batch that fits with it."""
        trial = tried.trial
        speed, (low, high) = trial.samples_per_second, trial.speed_band or (None, None)
        return Lever(
            name=name,
            changes=dict(tried.changes),
            fits=trial.fits,
            peak_reserved_bytes=trial.peak_reserved_bytes if trial.fits else None,
            saved_bytes=None if before is None else saved_bytes(before, tried),
            max_batch_size=self.largest_batch(tried),
            samples_per_second=speed,
            cost_per_million_samples=run_cost(self.options.plan, speed).usd_per_million_samples,
            notes=notes,
            batch_size=tried.batch_size,
            memory_bytes=trial.memory_bytes,
            samples_per_second_low=low,
            samples_per_second_high=high,
        )

    def largest_batch(self, tried: Tried) -> int | None:
        """Return the largest batch that fits with a change, as an analysis would find it."""
        self.reporter.cancel.check()
        key = _key(tried.changes)
        if key not in self._largest:
            span, capacity = self._span_of(tried), self.probe.target.capacity_bytes
            if span is None or capacity is None:
                self._largest[key] = self._searched(tried)
            else:
                self._largest[key] = self._followed(tried, span, capacity)
        return self._largest[key]

    def _followed(self, tried: Tried, span: Span, capacity_bytes: int) -> int | None:
        options, as_it_is = self.options, next(iter(self._largest.values()), None)
        passes, first = self.passes_of(tried.changes), next(iter(self._growths), None)
        for growth in (*self._growths.get(first, ()), *self._growths.get(passes, ())):
            if span.grow_as(growth):
                break
        found = largest_batch(
            span,
            tried.batch_size,
            capacity_bytes,
            granularity=options.granularity,
            upper=options.upper_bound,
            leap=max(_LEAP * tried.batch_size, _TIMES_THE_FIRST * (as_it_is or 0)),
        )
        if not self._growths:
            self._growths[passes] = []  # of what was looked at first, no other's are added
            first = None
        if span.growth is not None and passes != first:
            self._growths.setdefault(passes, []).append(span.growth)
        return found

    def passes_of(self, changes: Changes) -> Hashable | None:
        """Return what is the same for all changes that share forward and backward passes.

        None where the changes do not go with the training.
        """
        fields = dict(changes)
        batch_size = fields.pop("batch_size", self.batch_size)
        try:
            return passes_of(dataclasses.replace(self.config, **fields), batch_size)
        except MemoryMarkError:
            return None

    def is_first(self, passes: Hashable | None) -> bool:
        """Whether they are those of the training as it is, whose growth all take alike."""
        return passes == next(iter(self._growths), None)

    def learn(self, tried: Tried, largest: int | None) -> None:
        """Take the largest batch of a change that was found elsewhere."""
        self._largest[_key(tried.changes)] = largest

    def forget_growths(self) -> None:
        """Forget how memory grows, but for the training as it is.

        What is asked from here on has one answer, wherever the levers were tried.
        """
        self._growths = dict(islice(self._growths.items(), 1))

    def _searched(self, tried: Tried) -> int | None:
        options, config = self.options, tried.trial.config

        def trial_at(batch_size: int) -> Trial:
            self.reporter.cancel.check()
            return self.probe.run_trial(TrialSpec(self.workload, config, batch_size))

        found = find_max_batch(
            trial_at,
            granularity=options.granularity,
            upper=options.upper_bound,
            capacity_bytes=self.probe.target.capacity_bytes,
        )
        return found.max_batch_size if found.complete else None

    def _span_of(self, tried: Tried) -> Span | None:
        if self._newest is not None and self._newest[0] is tried:
            return self._newest[1]
        return self.probe.span(TrialSpec(self.workload, tried.trial.config, tried.batch_size))

    def _lacking_ability(self, fields: Mapping[str, Any]) -> str | None:
        found = (why_not(name, value, "simulated", self.gpu) for name, value in fields.items())
        return next((words for words in found if words is not None), None)


def _key(changes: Changes) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(changes.items()))


def saved_bytes(before: Tried, after: Tried) -> int | None:
    """Return what a change takes off the memory: reserved where it fits, else the least needed."""
    if before.needed_bytes is None or after.needed_bytes is None:
        return None
    then, now = before.trial.memory_bytes, after.trial.memory_bytes
    return None if then is None or now is None else then - now


def needed_bytes(trial: Trial) -> int | None:
    """Return what a trial needs; None where it was abandoned before that was known."""
    needed = trial.minimum_bytes or trial.peak_allocated_bytes
    if needed is None or trial.fits:
        return needed
    return needed if trial.capacity_bytes is not None and needed > trial.capacity_bytes else None
