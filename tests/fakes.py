"""A workload and a probe that need no torch and answer at once, by a memory model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from memorymark.probes.probe import Probe
from memorymark.records.config import Optimizer, TrainingConfig, with_image_size
from memorymark.records.held_memory import Breakdown
from memorymark.records.session_run import SessionRun
from memorymark.records.trial import GradientCheck, Outcome, Source, Stage, Target, Trial
from memorymark.units import GIB, MIB
from memorymark.workloads.trial_spec import TrialSpec

SOFTWARE = {"torch": "2.15.0", "memorymark": "0.1.0"}


def measured_target(capacity_bytes: int | None = 8 * GIB, name: str = "Fake GPU") -> Target:
    return Target(name, "cuda", Source.MEASURED, capacity_bytes, total_bytes=capacity_bytes)


def simulated_target(capacity_bytes: int = 40 * GIB, name: str = "NVIDIA A100 40GB") -> Target:
    return Target(
        name, "simulated", Source.SIMULATED, capacity_bytes, capacity_bytes, gpu_key="a100-40gb"
    )


def affine(fixed_bytes: int, per_sample_bytes: int) -> Callable[[int], int]:
    return lambda batch_size: fixed_bytes + per_sample_bytes * batch_size


class FakeWorkload:
    """Has the surface of a workload; nothing in it is ever built."""

    runs_own_code = False
    is_live = False
    grows = True
    beside_bytes = 0

    def __init__(self, name: str = "fake") -> None:
        self.name = name

    def describe(self, config: TrainingConfig) -> TrainingConfig:
        return with_image_size(config)

    def build(self, config: TrainingConfig) -> Any:
        raise AssertionError("a fake workload is never built")

    def batch(self, batch_size: int, config: TrainingConfig) -> dict[str, Any]:
        raise AssertionError("a fake workload makes no batches")

    def forward(self, model: Any, batch: Any) -> tuple[Any, Any]:
        raise AssertionError("a fake workload is never run")

    def own_optimizer(self, model: Any) -> Any:
        return None

    def own_step(self, model: Any) -> None:
        return None

    def chunk_cross_entropy(self, model: Any) -> None:
        raise AssertionError("a fake workload has no head to chunk")

    def bytes_on(self, device: Any) -> int:
        return 0

    def forget(self, model: Any) -> None:
        return None

    def refers_to(self, model: Any) -> bool:
        return False

    def replace(self, model: Any, twin: Any) -> None:
        return None

    def notes(self, model: Any) -> tuple[str, ...]:
        return ()

    def beside(self, model: Any) -> Any:
        raise AssertionError("a fake workload has nothing beside its model")

    def enable_checkpointing(self, model: Any) -> None:
        raise AssertionError("a fake workload has no blocks to checkpoint")


class FakeProbe(Probe):
    """Answers by a memory model: fixed bytes plus bytes per sample, or any callable.

    Args:
        fixed_bytes: Parameters, gradients and optimizer states; a quarter, a quarter, a half.
        per_sample_bytes: Activations of one sample.
        memory: Peak bytes by batch size, in place of the two.
        target: What the trials run on; its capacity decides between ok and out of memory.
        overhead_seconds: Seconds of a step whatever the batch.
        seconds_per_sample: Seconds that each sample adds; None leaves the speed unknown.
        errors: Sentences by batch size, for trials that end in an error.
        delay_seconds: How long each trial really takes.
        raises: Exceptions by number of the trial, counted from 1.
        oom_readings: Whether a trial that is out of memory still says what it would need.
        compile_speedup: How many times faster a compiled step is.
        compile_seconds: What the first compiled step takes longer.
        compile_error: Sentence with which compiled trials end.
        gradient_check: What backward passes leave; None makes a faultless one.
        thrashing_from: Batch size from which the allocator retries.
        simulation: What simulates the target; a simulated probe simulates itself.
    """

    def __init__(
        self,
        fixed_bytes: int = 2 * GIB,
        per_sample_bytes: int = 32 * MIB,
        *,
        memory: Callable[[int], int] | None = None,
        target: Target | None = None,
        overhead_seconds: float = 0.02,
        seconds_per_sample: float | None = 0.001,
        errors: Mapping[int, str] | None = None,
        delay_seconds: float = 0.0,
        raises: Mapping[int, BaseException] | None = None,
        oom_readings: bool = False,
        compile_speedup: float = 1.25,
        compile_seconds: float = 30.0,
        compile_error: str | None = None,
        gradient_check: GradientCheck | None = None,
        thrashing_from: int | None = None,
        simulation: FakeProbe | None = None,
    ) -> None:
        self.fixed_bytes = fixed_bytes
        self.per_sample_bytes = per_sample_bytes
        self.memory = memory
        self._target = target or measured_target()
        self.overhead_seconds = overhead_seconds
        self.seconds_per_sample = seconds_per_sample
        self.errors = dict(errors or {})
        self.delay_seconds = delay_seconds
        self.raises = dict(raises or {})
        self.oom_readings = oom_readings
        self.compile_speedup = compile_speedup
        self.compile_seconds = compile_seconds
        self.compile_error = compile_error
        self.gradient_check = gradient_check
        self.thrashing_from = thrashing_from
        self._simulation = simulation
        self.calls: list[tuple[int, Stage, TrainingConfig]] = []

    @property
    def target(self) -> Target:
        return self._target

    @property
    def batch_sizes(self) -> list[int]:
        """Batch sizes of the trials so far, in order."""
        return [batch_size for batch_size, _, _ in self.calls]

    def workload(self, model: str) -> FakeWorkload:
        """Return the workload that `execute` takes for a model's name."""
        return FakeWorkload(model)

    def simulation(self) -> FakeProbe | None:
        return self if self._target.source is Source.SIMULATED else self._simulation

    def run_sessions(self, spec, host_bytes=None, on_event=lambda event: None):
        """All sessions complete, and nothing is known of any act."""
        return SessionRun(
            model=spec.workload.name, config=spec.config, plan=spec.plan, target=self.target,
            sessions_completed=spec.plan.sessions, sessions_served=spec.plan.sessions,
            weights_bytes=self.fixed_bytes, beside_bytes=0, peak_allocated_bytes=self.fixed_bytes,
            host_bytes=host_bytes,
        )  # fmt: skip

    def run_trial(self, spec: TrialSpec) -> Trial:
        config, batch_size, stage = spec.config, spec.batch_size, spec.stage
        self.calls.append((batch_size, stage, config))
        if self.delay_seconds:
            time.sleep(self.delay_seconds)
        if len(self.calls) in self.raises:
            raise self.raises[len(self.calls)]
        base = dict(
            model=spec.workload.name, batch_size=batch_size, config=config,
            source=self._target.source, device=self._target.name,
            capacity_bytes=self._target.capacity_bytes, stage=stage, elapsed_seconds=0.5,
            software=SOFTWARE,
        )  # fmt: skip
        error = self.compile_error if config.compile else None
        error = error or self.errors.get(batch_size)
        if error:
            return Trial(**base, outcome=Outcome.ERROR, error=error)
        breakdown = self._breakdown(config, batch_size, stage)
        capacity = self._target.capacity_bytes
        if capacity is not None and breakdown.total > capacity:
            readings = self._memory(breakdown) if self.oom_readings else {}
            return Trial(**base, **readings, outcome=Outcome.OOM, error="Out of memory.")
        return Trial(
            **base,
            **self._memory(breakdown),
            **self._seconds(config, batch_size),
            outcome=Outcome.OK,
            gradient_check=self._gradients(stage, breakdown),
            thrashing=self.thrashing_from is not None and batch_size >= self.thrashing_from,
        )

    def _breakdown(self, config: TrainingConfig, batch_size: int, stage: Stage) -> Breakdown:
        if self.memory is not None:
            total = self.memory(batch_size)
            return Breakdown(parameters=total // 4, activations=total - total // 4)
        quarter = self.fixed_bytes // 4
        activations = self.per_sample_bytes * batch_size
        if config.gradient_checkpointing:
            activations //= 4
        if stage is Stage.FORWARD_ONLY:
            return Breakdown(parameters=quarter, temporaries=activations // 8)
        states = 0 if config.optimizer is Optimizer.NONE else self.fixed_bytes - 2 * quarter
        return Breakdown(
            parameters=quarter,
            gradients=0 if stage is Stage.FORWARD else quarter,
            optimizer_states=states if stage is Stage.STEP else 0,
            activations=activations,
        )

    def _memory(self, breakdown: Breakdown) -> dict[str, Any]:
        return {
            "peak_allocated_bytes": breakdown.total,
            "peak_reserved_bytes": breakdown.total,
            "minimum_bytes": breakdown.total,
            "breakdown": breakdown,
        }

    def _seconds(self, config: TrainingConfig, batch_size: int) -> dict[str, float | None]:
        if self.seconds_per_sample is None:
            return {}
        step = self.overhead_seconds + self.seconds_per_sample * batch_size
        step *= config.gradient_accumulation
        once = step / 2
        if config.compile:
            step /= self.compile_speedup
            once += self.compile_seconds
        return {"step_seconds": step, "first_step_seconds": step + once}

    def _gradients(self, stage: Stage, breakdown: Breakdown) -> GradientCheck | None:
        if stage in (Stage.FORWARD_ONLY, Stage.FORWARD):
            return None
        finite = True if self._target.source is Source.MEASURED else None
        size = breakdown.parameters
        return self.gradient_check or GradientCheck(100, 100, finite, size, size)
