"""What the two validations return. Data only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from memorymark.records.config import TrainingConfig
from memorymark.records.costs import ratio
from memorymark.records.trial import GradientCheck, Source, Stage, Target, Trial


class Verdict(StrEnum):
    """How a validation ended."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class BackwardValidation:
    """One batch run four ways, and what the differences say.

    Attributes:
        workload: Name of what is trained.
        target: What the trials ran on.
        config: How it is trained.
        batch_size: Samples in one forward pass.
        trials: One trial a stage, in the order of Stage.
        ratio: Peak of forward and backward over peak of forward only under no_grad; both are
            peaks of allocated bytes with the weights included, without optimizer states.
        verdict: PASS, WARN or FAIL.
        reasons: Why, one sentence each.
        gradients: What the backward pass left in the parameters.
        forward_only_max_batch_size: The batch that a tool which runs the forward pass only
            would recommend.
        max_batch_size: The largest batch that trains.
        search_trials: Trials of the two searches, the four above left out.
        findings: What else the user should know, one sentence each.
    """

    workload: str
    target: Target
    config: TrainingConfig
    batch_size: int
    trials: tuple[Trial, ...]
    ratio: float | None
    verdict: Verdict
    reasons: tuple[str, ...]
    gradients: GradientCheck | None = None
    forward_only_max_batch_size: int | None = None
    max_batch_size: int | None = None
    search_trials: tuple[Trial, ...] = ()
    findings: tuple[str, ...] = ()

    def trial(self, stage: Stage) -> Trial:
        """Return the trial of a stage."""
        return next(trial for trial in self.trials if trial.stage is stage)

    @property
    def weights_bytes(self) -> int | None:
        """Bytes of the weights alone, where a trial says."""
        known = (trial.breakdown for trial in self.trials if trial.breakdown is not None)
        return next((breakdown.parameters for breakdown in known), None)

    @property
    def overestimate(self) -> float | None:
        """How many times the true max batch a forward-only tool would recommend."""
        return ratio(self.forward_only_max_batch_size, self.max_batch_size)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON takes them."""
        return {
            "model_name": self.workload,
            "device": self.target.name,
            "source": str(self.target.source),
            "target": _target_dict(self.target),
            "config": self.config.to_dict(),
            "batch_size": self.batch_size,
            "verdict": str(self.verdict),
            "reasons": list(self.reasons),
            "ratio": self.ratio,
            "stages": {str(t.stage): t.peak_allocated_bytes for t in self.trials},
            "weights_bytes": self.weights_bytes,
            "gradients": None if self.gradients is None else dataclasses.asdict(self.gradients),
            "forward_only_max_batch_size": self.forward_only_max_batch_size,
            "max_batch_size": self.max_batch_size,
            "overestimate": self.overestimate,
            "findings": list(self.findings),
            "trials": [trial.to_dict() for trial in self.trials],
            "search_trials": [trial.to_dict() for trial in self.search_trials],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BackwardValidation:
        """Rebuild a validation from `to_dict`."""
        gradients = values["gradients"]
        if gradients is not None:
            gradients = GradientCheck(**{**gradients, "missing": tuple(gradients["missing"])})
        return cls(
            **_shared(values),
            trials=_trials(values["trials"]),
            ratio=values["ratio"],
            gradients=gradients,
            forward_only_max_batch_size=values["forward_only_max_batch_size"],
            max_batch_size=values["max_batch_size"],
            search_trials=_trials(values["search_trials"]),
            findings=tuple(values["findings"]),
        )


@dataclass(frozen=True)
class CompileValidation:
    """One batch run eagerly and compiled.

    Attributes:
        workload: Name of what is trained.
        target: What the trials ran on.
        config: How it is trained, its `compile` aside.
        batch_size: Samples in one forward pass.
        eager: The eager trial.
        compiled: The compiled trial; its outcome is error where compiling failed.
        compile_seconds: Seconds that compiling takes, on top of a step.
        break_even_steps: Steps after which compiling has paid; None for never or unknown.
        verdict: PASS where compiling pays, WARN where it does not, FAIL where it fails.
        reasons: Why, one sentence each.
    """

    workload: str
    target: Target
    config: TrainingConfig
    batch_size: int
    eager: Trial
    compiled: Trial
    compile_seconds: float | None
    break_even_steps: int | None
    verdict: Verdict
    reasons: tuple[str, ...]

    @property
    def speedup(self) -> float | None:
        """Compiled throughput over eager throughput, after the warm-up."""
        return ratio(self.compiled.samples_per_second, self.eager.samples_per_second)

    @property
    def memory_ratio(self) -> float | None:
        """Compiled peak over eager peak, in allocated bytes."""
        return ratio(self.compiled.peak_allocated_bytes, self.eager.peak_allocated_bytes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON takes them."""
        return {
            "model_name": self.workload,
            "device": self.target.name,
            "source": str(self.target.source),
            "target": _target_dict(self.target),
            "config": self.config.to_dict(),
            "batch_size": self.batch_size,
            "verdict": str(self.verdict),
            "reasons": list(self.reasons),
            "speedup": self.speedup,
            "memory_ratio": self.memory_ratio,
            "compile_seconds": self.compile_seconds,
            "break_even_steps": self.break_even_steps,
            "eager": self.eager.to_dict(),
            "compiled": self.compiled.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CompileValidation:
        """Rebuild a validation from `to_dict`."""
        return cls(
            **_shared(values),
            eager=Trial.from_dict(values["eager"]),
            compiled=Trial.from_dict(values["compiled"]),
            compile_seconds=values["compile_seconds"],
            break_even_steps=values["break_even_steps"],
        )


def _target_dict(target: Target) -> dict[str, Any]:
    return {**dataclasses.asdict(target), "source": str(target.source)}


def _shared(values: Mapping[str, Any]) -> dict[str, Any]:
    target = {**values["target"], "source": Source(values["target"]["source"])}
    return {
        "workload": values["model_name"],
        "target": Target(**target),
        "config": TrainingConfig.from_dict(values["config"]),
        "batch_size": values["batch_size"],
        "verdict": Verdict(values["verdict"]),
        "reasons": tuple(values["reasons"]),
    }


def _trials(values: list[dict[str, Any]]) -> tuple[Trial, ...]:
    return tuple(Trial.from_dict(trial) for trial in values)
