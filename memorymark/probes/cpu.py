"""Trials on the CPU: real steps on real tensors, memory counted by the tracker.

What is counted is the memory of tensors, as a GPU would hold them; the budget stands for the
GPU's memory. Reserved memory and a context do not exist here and stay unknown.
"""

from __future__ import annotations

import dataclasses
import gc
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from memorymark.errors import InvalidValue, MemoryMarkError, OutOfMemory
from memorymark.memory.breakdown import breakdown_at, peak_position, timeline
from memorymark.memory.tracker import MemoryTracker
from memorymark.probes.common import failure, record
from memorymark.probes.model_keeper import ModelKeeper
from memorymark.records.config import Attention, TrainingConfig, check_batch_size
from memorymark.records.trial import Outcome, Source, Stage, Target, Trial
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.step import TrainingStep
from memorymark.training.tracked import TrackedSteps, live_bytes_of, run_tracked_steps
from memorymark.units import GIB
from memorymark.workloads.base import Workload, build_model

_DEFAULT_BUDGET = 4 * GIB
_CPU = torch.device("cpu")
_COMPILED = (
    "Compiled steps are not followed on the CPU: their memory is unknown, and whether the batch "
    "fits the budget was found with an eager step."
)


def free_memory_bytes() -> int | None:
    """Return the host memory that is free to take, None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            values = dict(line.split(":", 1) for line in file)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None


def default_budget() -> int:
    """Return the smaller of 4 GiB and half of the free memory, in bytes."""
    free = free_memory_bytes()
    return _DEFAULT_BUDGET if free is None else min(_DEFAULT_BUDGET, free // 2)


class CpuProbe:
    """Runs real training steps on the CPU under a budget.

    Args:
        budget_bytes: What a trial may use; None takes `default_budget`.
    """

    warmup_steps = 1

    def __init__(self, budget_bytes: int | None = None) -> None:
        budget = budget_bytes or default_budget()
        name = platform.processor() or platform.machine() or "CPU"
        self._models = ModelKeeper(_CPU)
        self._checked: tuple[Workload, TrainingConfig] | None = None
        self.target = Target(
            name=f"CPU ({name})", kind="cpu", source=Source.MEASURED, capacity_bytes=budget
        )

    def run(
        self,
        workload: Workload,
        config: TrainingConfig,
        batch_size: int,
        *,
        stage: Stage = Stage.STEP,
        timed_steps: int | None = None,
    ) -> Trial:
        """Run one warm-up step and one timed step, or as many timed ones as asked for."""
        check_batch_size(batch_size)
        config = workload.describe(config)
        if config.attention is Attention.FLASH:
            raise InvalidValue(
                "attention", "flash", "sdpa or eager on the CPU; flash needs a CUDA device"
            )
        start = time.perf_counter()
        count = timed_steps or 1
        found = self._attempt(workload, config, batch_size, stage, count)
        self._models.tidy()
        gc.collect()
        return record(self.target, workload, config, batch_size, stage, start, found)

    def _attempt(
        self,
        workload: Workload,
        config: TrainingConfig,
        batch_size: int,
        stage: Stage,
        timed_steps: int,
    ) -> dict[str, Any]:
        run = self._compiled if config.compile else self._followed
        try:
            return run(workload, config, batch_size, stage, timed_steps)
        except MemoryMarkError:
            raise
        except Exception as error:
            return failure(error)

    def _followed(
        self,
        workload: Workload,
        config: TrainingConfig,
        batch_size: int,
        stage: Stage,
        timed_steps: int,
    ) -> dict[str, Any]:
        """Run steps with every storage followed."""
        self._check_model(workload, config)
        model = self._models.get(workload, config)
        tracker = MemoryTracker("cpu", budget_bytes=self.target.capacity_bytes)
        steps = run_tracked_steps(
            workload, model, config, batch_size, DeviceRuntime(_CPU), tracker,
            steps=self.warmup_steps + timed_steps, stage=stage,
        )  # fmt: skip
        return self._found(tracker, steps)

    def _compiled(
        self,
        workload: Workload,
        config: TrainingConfig,
        batch_size: int,
        stage: Stage,
        timed_steps: int,
    ) -> dict[str, Any]:
        """Time compiled steps. A step that is followed is not compiled, so memory stays unknown.

        The eager step has to fit first: without the tracker nothing holds the budget.
        """
        eager = dataclasses.replace(config, compile=False)
        self._followed(workload, eager, batch_size, stage, timed_steps)
        self._models.tidy()
        torch.compiler.reset()
        model = self._models.get(workload, config)
        runtime = DeviceRuntime(_CPU)
        with runtime.settings(config):
            step = TrainingStep(workload, model, config, batch_size, runtime, stage=stage)
            seconds = [_seconds_of(step.run) for _ in range(self.warmup_steps + timed_steps)]
        return {
            "outcome": Outcome.OK,
            "step_seconds": statistics.median(seconds[self.warmup_steps :]),
            "first_step_seconds": seconds[0],
            "assumptions": (_COMPILED,),
        }

    def _check_model(self, workload: Workload, config: TrainingConfig) -> None:
        """Refuse a model that is larger than the budget before it takes the host's memory."""
        if workload.runs_own_code or self._checked == (workload, config):
            return
        needed = live_bytes_of(build_model(workload, config, torch.device("meta")))
        budget = self.target.capacity_bytes
        if budget is not None and needed > budget:
            raise OutOfMemory(needed, 0, budget)
        self._checked = (workload, config)

    def _found(self, tracker: MemoryTracker, steps: TrackedSteps) -> dict[str, Any]:
        trace = tracker.trace
        parts, holders = breakdown_at(trace, peak_position(trace))
        return {
            "outcome": Outcome.OK,
            "peak_allocated_bytes": tracker.peak_bytes,
            "minimum_bytes": tracker.peak_bytes,
            "breakdown": parts,
            "holders": holders,
            "timeline": timeline(trace, trace.last_step()),
            "step_seconds": statistics.median(steps.seconds[self.warmup_steps :]),
            "first_step_seconds": steps.seconds[0],
            "gradient_check": steps.gradient_check,
        }


def _seconds_of(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
