"""The record of an analysis: trials, the three marks, findings. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, ClassVar

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.codec import Origin, Record, same
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Savings, ratio
from memorymark.records.effective_batch import EffectiveBatch
from memorymark.records.gain import smallest_clear_gain
from memorymark.records.length_report import LengthReport
from memorymark.records.mark import Advice, Mark
from memorymark.records.trial import Outcome, Stage, Target, Trial
from memorymark.units import GIB


def _marks(analysis: Analysis) -> dict[str, Any]:
    """Write the marks; a trial of the list is written as its number, any other one in full."""
    trials = analysis.trials
    marks = {name: _mark(getattr(analysis, name)) for name in ("current", "optimal", "max")}
    return {
        name: {**mark, "trial": trials.index(mark["trial"])} if mark["trial"] in trials else mark
        for name, mark in marks.items()
    }


def _mark(mark: Mark) -> dict[str, Any]:
    left_out = {name for name in Mark.json_optional if getattr(mark, name) is None}
    return {name: value for name, value in vars(mark).items() if name not in left_out}


def _gib_and_bytes(**paths: str) -> dict[str, Origin]:
    """Return keys that end in _gb, the first version's name for GiB, with their twins in bytes."""
    keys: dict[str, Origin] = {}
    for name, path in paths.items():
        keys |= {f"{name}_gb": _in_gib(path), f"{name}_bytes": path}
    return keys


def _in_gib(path: str) -> Origin:
    read_bytes = attrgetter(path)
    return lambda analysis: ratio(read_bytes(analysis), GIB)


@dataclass(frozen=True)
class Analysis(Record):
    """The trials of one workload on one target, and the three marks on them.

    Attributes:
        workload: Name of what is trained.
        target: What the trials ran on.
        config: How it is trained.
        options: What the user wanted to know.
        trials: All trials, in the order in which they ran.
        max_batch_size: What the search found; None where nothing fits or nothing is known.
        search_granularity: To how many samples that is exact.
        current: The batch that is run today.
        optimal: The batch to run.
        max: The largest batch that completes steps.
        costs: Costs at the current and at the optimal batch, and what is saved.
        findings: What the trials brought to light, one sentence each.
        remarks: What follows for the user's own options, one sentence each.
        optimal_is_exact: Whether the optimal batch is the one that its rule names among all on the
            grid, not only among those tried; None where there is none, and in older records.
        advice: What to change where nothing fits.
        complete: Whether the work was done to its end.
        stopped_by: Why it was not, in a sentence.
        elapsed_seconds: Seconds that the analysis took.
        run_id: Short hexadecimal name of the run.
        created_at: When it began, in ISO 8601, UTC.
        software: Versions of what ran.
        effective_batch: How the effective batch that was asked for is reached.
        lengths: What the lengths that were given mean for the batch.
    """

    json_keys: ClassVar[Mapping[str, Origin]] = {
        "model_name": "workload",
        "device": "target.name",
        "source": "target.source",
        "current_batch_size": "current.batch_size",
        "optimal_batch_size": "optimal.batch_size",
        "current_samples_per_second": "current.samples_per_second",
        "optimal_samples_per_second": "optimal.samples_per_second",
        "max_samples_per_second": "max.samples_per_second",
        **same("waste_percent", "speedup", "batch_ratio"),
        "cost_savings_per_run": "costs.usd_per_run",
        "cost_savings_annual": "costs.usd_per_year",
        "price_per_hour": "options.price_per_hour",
        "objective": "options.objective",
        "probes": lambda analysis: len(analysis.trials),
        **_gib_and_bytes(
            gpu_total="gpu_total_bytes",
            capacity="capacity_bytes",
            current_memory="current.memory_bytes",
            optimal_memory="optimal.memory_bytes",
            max_memory="max.memory_bytes",
            waste="waste_bytes",
            headroom="headroom_bytes",
        ),
        **same("max_batch_size", "search_granularity", "complete", "stopped_by"),
        **same("max_is_lower_bound", "optimal_is_exact", "gain_is_clear", "already_fine"),
        **same("elapsed_seconds", "run_id", "created_at", "software"),
        **same("findings", "remarks", "advice"),
        "marks": _marks,
        **same("costs", "effective_batch", "lengths", "options", "config", "target", "trials"),
    }
    json_optional: ClassVar[tuple[str, ...]] = ("effective_batch", "lengths")

    workload: str
    target: Target
    config: TrainingConfig
    options: AnalysisOptions
    trials: tuple[Trial, ...]
    max_batch_size: int | None = None
    search_granularity: int | None = None
    current: Mark = field(default_factory=Mark)
    optimal: Mark = field(default_factory=Mark)
    max: Mark = field(default_factory=Mark)
    optimal_is_exact: bool | None = None
    costs: Savings = field(default_factory=Savings)
    findings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()
    complete: bool = True
    stopped_by: str | None = None
    elapsed_seconds: float | None = None
    run_id: str = ""
    created_at: str = ""
    software: dict[str, str] = field(default_factory=dict)
    effective_batch: EffectiveBatch | None = None
    lengths: LengthReport | None = None

    @property
    def nothing_fits(self) -> bool:
        """Whether the search went to its end and found no batch that trains."""
        return self.complete and self.max_batch_size is None

    @property
    def capacity_bytes(self) -> int | None:
        """What a trial could use."""
        return self.target.capacity_bytes

    @property
    def gpu_total_bytes(self) -> int | None:
        """The device's whole memory; what trials could use where that is all that is known."""
        return self.target.total_bytes or self.target.capacity_bytes

    @property
    def waste_bytes(self) -> int | None:
        """Capacity that the current batch leaves unused."""
        return _left(self.capacity_bytes, self.current.memory_bytes)

    @property
    def waste_share(self) -> float | None:
        """Share of the capacity that the current batch leaves unused, from 0 to 1."""
        return ratio(self.waste_bytes, self.capacity_bytes)

    @property
    def waste_percent(self) -> float | None:
        """The same share in percent."""
        return None if self.waste_share is None else self.waste_share * 100

    @property
    def headroom_bytes(self) -> int | None:
        """Capacity that the optimal batch leaves free."""
        return _left(self.capacity_bytes, self.optimal.memory_bytes)

    @property
    def speedup(self) -> float | None:
        """Throughput at the optimal batch over throughput at the current batch."""
        return ratio(self.optimal.samples_per_second, self.current.samples_per_second)

    @property
    def batch_ratio(self) -> float | None:
        """Optimal batch size over current batch size; says nothing about speed."""
        return ratio(self.optimal.batch_size, self.current.batch_size)

    @property
    def max_is_lower_bound(self) -> bool:
        """Whether more than the max batch may fit: the next one on the grid did not run out.

        So it is where the search was stopped, and where it ended at the bound that it was given.
        """
        largest, step = self.max_batch_size, self.search_granularity or 1
        if largest is None:
            return False
        following = largest + (1 if largest < step else step)
        steps = (trial for trial in self.trials if trial.stage is Stage.STEP)
        return not any(t.batch_size == following and t.outcome is Outcome.OOM for t in steps)

    @property
    def max_step(self) -> int | None:
        """The step of whose multiples the max batch is the largest that fits.

        None where it is the largest of all, and where more may fit.
        """
        largest, step = self.max_batch_size, self.search_granularity or 1
        if largest is None or step == 1 or largest % step or self.max_is_lower_bound:
            return None
        return step

    @property
    def gain_is_clear(self) -> bool | None:
        """Whether the optimal batch is faster or slower than the current one by more than nothing.

        None where a throughput is unknown. See `records.gain` for what can be told apart.
        """
        if not self.speedup:
            return None
        trials = self.current.trial, self.optimal.trial
        least = smallest_clear_gain(self.target.source, *trials)
        return max(self.speedup, 1 / self.speedup) > 1 + least

    def likely_saving(self, figure: float | None) -> tuple[float, float] | None:
        """The least and the most that is likely of what the optimal batch saves, in either unit.

        An estimate errs alike at both batches, so what is saved is off by the factor of either.
        """
        return self.optimal.likely(figure) if figure else None

    @property
    def already_fine(self) -> bool:
        """Whether the current batch leaves the headroom free, and none is clearly faster."""
        return self.gain_is_clear is False and self.current_is_tight is False

    @property
    def current_is_tight(self) -> bool | None:
        """Whether the current batch fits and leaves less than the headroom free."""
        limit = self.options.memory_limit(self.capacity_bytes)
        most = self._most_at_current()
        return None if limit is None or most is None else most > limit

    @property
    def current_free_share(self) -> float | None:
        """Share of the capacity that the current batch leaves free at the least, from 0 to 1."""
        return ratio(_left(self.capacity_bytes, self._most_at_current()), self.capacity_bytes)

    def _most_at_current(self) -> int | None:
        """Return the memory that the current batch may take, where it fits."""
        if not self.current.fits:
            return None
        trial = self.current.trial
        return self.current.memory_bytes if trial is None else trial.most_memory_bytes

    @classmethod
    def before_reading(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put the marks' trials in the place of their numbers."""
        trials = values["trials"]
        marks = {
            name: {**mark, "trial": trials[mark["trial"]]}
            if isinstance(mark["trial"], int)
            else mark
            for name, mark in values["marks"].items()
        }
        return {**values, **marks}


def _left(capacity: int | None, used: int | None) -> int | None:
    return None if capacity is None or used is None else max(0, capacity - used)
