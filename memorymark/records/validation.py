"""The records of the two validations. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from memorymark.records.codec import Origin, Record, same
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import ratio
from memorymark.records.trial import GradientCheck, Stage, Target, Trial


class Verdict(StrEnum):
    """How a validation ended."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


_HEAD: Mapping[str, Origin] = {
    "model_name": "workload",
    "device": "target.name",
    "source": "target.source",
    **same("target", "config", "batch_size", "verdict", "reasons"),
}


@dataclass(frozen=True)
class BackwardValidation(Record):
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

    json_keys: ClassVar[Mapping[str, Origin]] = {
        **_HEAD,
        **same("ratio", "stages", "weights_bytes", "gradients"),
        **same("forward_only_max_batch_size", "max_batch_size", "overestimate"),
        **same("findings", "trials", "search_trials"),
    }

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
    def stages(self) -> dict[Stage, int | None]:
        """Peak of the allocated bytes in each stage."""
        return {trial.stage: trial.peak_allocated_bytes for trial in self.trials}

    @property
    def weights_bytes(self) -> int | None:
        """Bytes of the weights alone, where a trial says."""
        known = (trial.breakdown for trial in self.trials if trial.breakdown is not None)
        return next((breakdown.parameters for breakdown in known), None)

    @property
    def overestimate(self) -> float | None:
        """How many times the true max batch a forward-only tool would recommend."""
        return ratio(self.forward_only_max_batch_size, self.max_batch_size)


@dataclass(frozen=True)
class CompileValidation(Record):
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

    json_keys: ClassVar[Mapping[str, Origin]] = {
        **_HEAD,
        **same("speedup", "memory_ratio", "compile_seconds", "break_even_steps"),
        **same("eager", "compiled"),
    }

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
