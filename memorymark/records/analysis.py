"""What an analysis is: the trials, the three marks on them, what follows. Data only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import RunCost, Savings, ratio
from memorymark.records.trial import Source, Target, Trial
from memorymark.units import GIB


@dataclass(frozen=True)
class Mark:
    """A batch size that matters, with what is known of it.

    Attributes:
        batch_size: The batch size; None where there is none, as when nothing fits.
        trial: The trial at this batch size, where one ran.
        memory_bytes: Memory that a training at this batch takes.
        samples_per_second: Its throughput.
        interpolated: Whether the two figures lie between two trials, instead of in one.
        fits: Whether it trains; None where that is not known.
    """

    batch_size: int | None = None
    trial: Trial | None = None
    memory_bytes: int | None = None
    samples_per_second: float | None = None
    interpolated: bool = False
    fits: bool | None = None


@dataclass(frozen=True)
class Advice:
    """A change of the config that may make room.

    Attributes:
        text: What to change, in words.
        change: Fields of TrainingConfig with their new values.
        batch_size: Batch size that the figures are for.
        memory_bytes: Memory with the change; None where it was not tried.
        saved_bytes: Memory that the change saves; None where unknown.
        fits: Whether the batch fits with the change; None where it was not tried.
    """

    text: str
    change: Mapping[str, Any]
    batch_size: int | None = None
    memory_bytes: int | None = None
    saved_bytes: int | None = None
    fits: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON takes them."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**values, "change": dict(self.change)}


@dataclass(frozen=True)
class Analysis:
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
        advice: What to change where nothing fits.
        complete: Whether the work was done to its end.
        stopped_by: Why it was not, in a sentence.
        elapsed_seconds: Seconds that the analysis took.
        run_id: Short hexadecimal name of the run.
        created_at: When it began, in ISO 8601, UTC.
        software: Versions of what ran.
    """

    workload: str
    target: Target
    config: TrainingConfig
    options: AnalysisOptions
    trials: tuple[Trial, ...]
    max_batch_size: int | None = None
    search_granularity: int | None = None
    current: Mark = Mark()
    optimal: Mark = Mark()
    max: Mark = Mark()
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

    def to_dict(self) -> dict[str, Any]:
        """Return the analysis as documented in the interface, ready for JSON."""
        return {**self._figures(), **self._gib_and_bytes(), **self._record()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Analysis:
        """Rebuild an analysis from `to_dict`."""
        trials = tuple(Trial.from_dict(trial) for trial in values["trials"])
        target = {**values["target"], "source": Source(values["target"]["source"])}
        kept = {name: values[name] for name in _PLAIN_FIELDS}
        return cls(
            workload=values["model_name"],
            target=Target(**target),
            config=TrainingConfig.from_dict(values["config"]),
            options=AnalysisOptions(**values["options"]),
            trials=trials,
            findings=tuple(values["findings"]),
            remarks=tuple(values["remarks"]),
            advice=tuple(Advice(**advice) for advice in values["advice"]),
            costs=_costs(values["costs"]),
            **{name: _mark(values["marks"][name], trials) for name in _MARKS},
            **kept,
        )

    def _figures(self) -> dict[str, Any]:
        return {
            "model_name": self.workload,
            "device": self.target.name,
            "source": str(self.target.source),
            "current_batch_size": self.current.batch_size,
            "optimal_batch_size": self.optimal.batch_size,
            "current_samples_per_second": self.current.samples_per_second,
            "optimal_samples_per_second": self.optimal.samples_per_second,
            "max_samples_per_second": self.max.samples_per_second,
            "waste_percent": None if self.waste_share is None else self.waste_share * 100,
            "speedup": self.speedup,
            "batch_ratio": self.batch_ratio,
            "cost_savings_per_run": self.costs.usd_per_run,
            "cost_savings_annual": self.costs.usd_per_year,
            "price_per_hour": self.options.price_per_hour,
            "objective": str(self.options.objective),
            "probes": len(self.trials),
        }

    def _gib_and_bytes(self) -> dict[str, Any]:
        in_bytes = {
            "gpu_total": self.gpu_total_bytes,
            "capacity": self.capacity_bytes,
            "current_memory": self.current.memory_bytes,
            "optimal_memory": self.optimal.memory_bytes,
            "max_memory": self.max.memory_bytes,
            "waste": self.waste_bytes,
            "headroom": self.headroom_bytes,
        }
        values: dict[str, Any] = {}
        for key, amount in in_bytes.items():
            values[f"{key}_gb"] = None if amount is None else amount / GIB
            values[f"{key}_bytes"] = amount
        return values

    def _record(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in _PLAIN_FIELDS},
            "findings": list(self.findings),
            "remarks": list(self.remarks),
            "advice": [advice.to_dict() for advice in self.advice],
            "marks": {name: _mark_dict(getattr(self, name), self.trials) for name in _MARKS},
            "costs": self.costs.to_dict(),
            "options": self.options.to_dict(),
            "config": self.config.to_dict(),
            "target": {**dataclasses.asdict(self.target), "source": str(self.target.source)},
            "trials": [trial.to_dict() for trial in self.trials],
        }


_MARKS = ("current", "optimal", "max")
_PLAIN_FIELDS = (
    "max_batch_size",
    "search_granularity",
    "complete",
    "stopped_by",
    "elapsed_seconds",
    "run_id",
    "created_at",
    "software",
)


def _mark_dict(mark: Mark, trials: tuple[Trial, ...]) -> dict[str, Any]:
    """Write a mark; a trial of the list is written as its number, any other one in full."""
    values = {f.name: getattr(mark, f.name) for f in dataclasses.fields(mark)}
    if mark.trial is not None:
        listed = mark.trial in trials
        values["trial"] = trials.index(mark.trial) if listed else mark.trial.to_dict()
    return values


def _mark(values: Mapping[str, Any], trials: tuple[Trial, ...]) -> Mark:
    trial = values["trial"]
    if isinstance(trial, int):
        trial = trials[trial]
    elif trial is not None:
        trial = Trial.from_dict(trial)
    return Mark(**{**values, "trial": trial})


def _costs(values: Mapping[str, Any]) -> Savings:
    sides = {name: RunCost(**values[name]) for name in ("current", "optimal")}
    return Savings(**{**values, **sides})


def _left(capacity: int | None, used: int | None) -> int | None:
    return None if capacity is None or used is None else max(0, capacity - used)
